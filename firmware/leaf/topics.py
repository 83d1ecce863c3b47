# The topics of a device: docs/architecture.md says what goes where.


def table(application, thing):
    """Use -> topic. "telemetry" is a prefix: the name of the stream follows."""
    telemetry = "dt/%s/%s/" % (application, thing)
    commands = "cmd/%s/%s/" % (application, thing)
    return {
        "telemetry": telemetry,
        "status": telemetry + "status",
        "faults": telemetry + "faults",
        "requests": commands + "request",
        "responses": commands + "response",
    }
