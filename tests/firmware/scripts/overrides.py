# Overrides of the configuration at boot.
import json

from leaf import config, state

state.DIRECTORY = given["directory"]
base, schema = given["directory"] + "/base.json", given["schema"]
with open(base, "w") as file:
    json.dump({"endpoint": "a.example", "keep_alive": 60}, file)
found = []
for values in given["overrides"]:
    try:
        config.override(values, base, schema)
    except Exception as fault:
        found.append(fault.cause)
        continue
    found.append(config.load(base, schema)["keep_alive"])
if "broken" in given:
    state.write("config.json", given["broken"])
    found.append(config.load(base, schema)["keep_alive"])
answer(found)
