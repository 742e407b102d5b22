"""Run one configuration, or a sweep: python run.py model=mobilenet_v2 bits=2 (python run.py --help)."""

from swis.command_line import main

if __name__ == "__main__":
    main("python run.py")  # fish completes only the words after a file that contains @hydra.main
