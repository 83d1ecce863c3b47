# An identity is born on the virtual board's flash; power fails within operation number `cut`, then the board boots and the
# host asks again. Answers how it went: the request, and the certificate's thing, or the fault.
import esp32
from leaf import birth, credentials
from leaf.faults import Fault


def life(cut, calls):
    esp32.power_on(given["flash"], cut)
    try:
        return [call() for call in calls], esp32.operations_left()
    except esp32.PowerCut:
        return None, 0


def erase():
    esp32.power_on(given["flash"])
    partition = birth._partition()
    for block in range(2):
        partition.ioctl(6, block)


answers = []
for step in ("request", "certified"):
    cut = 0
    while True:
        cut += 1
        erase()
        before = None
        if step == "certified":
            # The certificate is for another key: what counts is what the flash holds, so the check of the key is left out.
            credentials.Credentials.__init__ = lambda self, der, key: setattr(self, "thing", "pump-7")
            before = life(None, [lambda: birth.request("pump-7")])[0][0]
            done, left = life(cut, [lambda: birth.certified(given["certificate"])])
        else:
            done, left = life(cut, [lambda: birth.request("pump-7")])
        esp32.power_on(given["flash"])
        try:
            if step == "request":
                request = birth.request("pump-7")
                answers.append(["request", done is None or done[0] == request, birth.request("pump-7") == request])
            else:
                thing = birth.certified(given["certificate"])
                kept = birth._secret(birth._partition()) is not None
                try:
                    birth.request("pump-7")
                    again = "a request"
                except Fault as fault:
                    again = fault.cause
                answers.append(["certified", thing == "pump-7" and kept, again == "the board has an identity already"])
        except Fault as fault:
            answers.append([step, cut, fault.cause])
        if done is not None:
            break
answer(answers)
