"""The Python interface: any network quantized, measured, simulated, retrained and saved."""
