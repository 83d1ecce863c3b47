"""The advisor: an IoT endpoint that misbehaves to order, and what a device must do about it."""
