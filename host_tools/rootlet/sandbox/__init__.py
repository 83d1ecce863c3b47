"""The local IoT Core: ministack in a process of ours, with what it lacks."""
