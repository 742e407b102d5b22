"""Run one configuration, or a sweep: python run.py model=mobilenet_v2 bits=2 (python run.py --help)."""

from swis.command_line import main

if __name__ == "__main__":
    main("python run.py")  # fish completes words after a file in which it finds @hydra.main
