# Executes jobs.
import machine
from leaf import Device
from leaf.services.jobs import Jobs, Rejected

device = Device()
jobs = Jobs(device)


@jobs.operation("calibrate")
async def calibrate(job):
    job.progress({"percent": 50})
    return {"offset": job.document["offset"] * 2}


@jobs.operation("fail")
def fail(job):
    raise OSError(5)


@jobs.operation("refuse")
def refuse(job):
    raise Rejected("not by night")


@jobs.operation("hang", timeout=1)
async def hang(job):
    import asyncio

    await asyncio.sleep(60)


@jobs.operation("restart")
def restart(job):
    print("restart, resumed:", job.resumed)
    if not job.resumed:
        machine.reset()


device.run()
