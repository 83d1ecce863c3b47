"""AWS IoT Core policies: rendering, checking and evaluating documents. Pure functions, for cloud and sandbox."""
