"""The commands for images, and for boards on a serial port."""
