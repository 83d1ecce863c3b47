"""The AWS IoT control plane, through plain boto3."""
