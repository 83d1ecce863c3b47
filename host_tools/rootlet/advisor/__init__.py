"""The advisor: a scripted IoT endpoint that misbehaves, and the cases that grade a device's reaction."""
