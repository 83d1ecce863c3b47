"""The local IoT Core: ministack in a process of ours, with the features that it lacks."""
