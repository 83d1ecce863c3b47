"""AWS IoT Core policies: what a document says, and what it decides. Pure functions, for cloud and sandbox."""
