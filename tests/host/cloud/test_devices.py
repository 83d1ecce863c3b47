"""What becomes of registered devices; many at once; those that a manufacturer provisioned."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cloud import bulk, imports, journal, proving, registration, rotation
from rootlet.errors import BadInput, RootletError
from rootlet.pki import certificates, keys
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from support.defects import sign
from support.mqtt import MqttClient


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def status(aws: IoTClient, identity: DeviceIdentity) -> str:
    try:
        return aws.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]["status"]
    except aws.exceptions.ResourceNotFoundException:
        return "unknown"


def known(aws: IoTClient, authority: Authority, directory: Path, thing: str) -> DeviceIdentity:
    identity = authority.issue(thing)
    identity.save(directory)
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    return identity


def test_a_certificate_goes_off_and_on_and_is_revoked_for_good(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    device = tmp_path / "d"
    identity = known(aws, authority, device, "life-1")
    for command, wanted in (("deactivate", "INACTIVE"), ("activate", "ACTIVE"), ("revoke", "REVOKED")):
        assert run(command, device).exit_code == 0
        assert status(aws, identity) == wanted
        assert "nothing to change" in run(command, device).output
    error = run("activate", device).exception
    assert isinstance(error, RootletError)
    assert "cannot be activated" in error.what


def test_delete_takes_it_out_and_again_changes_nothing(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    device = tmp_path / "d"
    identity = known(aws, authority, device, "life-2")
    assert "deleted thing life-2" in run("delete", device, "--with-thing").output
    assert status(aws, identity) == "unknown"
    assert "nothing to change" in run("delete", device).output
    assert (device / "device.key").exists()


def test_a_device_that_nobody_registered_is_named(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    authority.issue("life-3").save(tmp_path / "d")
    error = run("deactivate", tmp_path / "d").exception
    assert isinstance(error, RootletError)
    assert "has no certificate" in error.what


def test_rotation_keeps_the_old_certificate_until_the_board_carries_the_new(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = known(aws, authority, device, "turn-1")
    proved: list[str] = []

    def prove(new: DeviceIdentity) -> proving.How:
        proved.append(new.certificate_id)
        return "policies"

    begun = rotation.begin(aws, device, authority, prove)
    new = DeviceIdentity.load(device / "next")
    assert proved == [new.certificate_id] == [begun.new]
    assert (status(aws, old), status(aws, new)) == ("ACTIVE", "ACTIVE")
    with pytest.raises(RootletError, match="not the new"):
        rotation.finish(aws, device, old.certificate_id)
    assert status(aws, old) == "ACTIVE"
    rotation.finish(aws, device, new.certificate_id)
    assert (status(aws, old), status(aws, new)) == ("INACTIVE", "ACTIVE")
    assert DeviceIdentity.load(device).certificate_id == new.certificate_id
    assert DeviceIdentity.load(device / "previous").certificate_id == old.certificate_id
    assert rotation.finish(aws, device, new.certificate_id).changes == []


class PulledPlugError(Exception):
    pass


def test_a_rotation_interrupted_at_every_call_leaves_a_certificate_that_is_let_in_and_goes_on(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = known(aws, authority, device, "turn-2")
    calls = 0
    stop_at = 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise PulledPlugError

    aws.meta.events.register("before-call.iot.*", count)
    interrupted = 0
    for half in ("begin", "finish"):
        stop_at = 0
        while True:
            stop_at, calls = stop_at + 1, 0
            try:
                if half == "begin":
                    rotation.begin(aws, device, authority, lambda _: "policies")
                else:
                    carried = DeviceIdentity.load(device / "next" if (device / "next").exists() else device)
                    rotation.finish(aws, device, carried.certificate_id)
                break
            except PulledPlugError:
                interrupted += 1
                stop, stop_at = stop_at, 0
                # Before the board is seen with the new one it carries the old one, afterwards the new one.
                carries = old if half == "begin" else DeviceIdentity.load(device)
                assert status(aws, carries) == "ACTIVE"
                stop_at = stop
        stop_at = 0
    assert interrupted >= 5
    assert status(aws, old) == "INACTIVE"


ACME = Subject(organization="Acme", organizational_unit="Line 2", country="CH")


def proved_at(sandbox: Sandbox, aws: IoTClient, device: Path, **more: Any) -> rotation.Prove:
    proof = proving.Proof("127.0.0.1", sandbox.facts.mqtt_port, sandbox.root_pem, **more)
    return lambda new: proving.prove(aws, new, device / "next", proof)


def of_acme(aws: IoTClient, authority: Authority, device: Path, thing: str, **more: Any) -> DeviceIdentity:
    """A device whose policy asks for its subject's organization; ``more`` goes into the condition."""
    old = authority.issue(thing, subject=ACME, key_type="ec-p384", days=100)
    old.save(device)
    organization = {"StringEquals": {"iot:Certificate.Subject.Organization": "Acme"}}
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition": organization | more},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish", "iot:Subscribe"], "Resource": "*"},
    ]
    aws.create_policy(policyName=thing, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    registration.register(aws, old, registration.RegistrationRequest(policy=thing))
    return old


def test_a_rotated_certificate_has_the_old_ones_subject_key_type_and_days_and_connects(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-1")
    done = rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    assert done.proved_by == "connect"
    new = DeviceIdentity.load(device / "next")
    assert new.certificate.subject == old.certificate.subject
    assert keys.type_of(new.key) == "ec-p384" and new.key != old.key
    assert certificates.days_of(new.certificate) == certificates.days_of(old.certificate) == 100
    rotation.finish(aws, device, new.certificate_id)
    assert (status(aws, old), status(aws, new)) == ("INACTIVE", "ACTIVE")
    assert not (device / proving.RECORD).exists()


def test_a_certificate_that_the_policies_refuse_is_not_proved_and_a_rotation_to_it_is_not_finished(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-2")
    other = rotation.Profile(subject=Subject(organization="Globex"), key_type="ec-p256", days=5)
    for _ in range(2):
        with pytest.raises(RootletError, match=r"would refuse the new certificate .* connect: as acme-2"):
            rotation.begin(aws, device, authority, proved_at(sandbox, aws, device), other)
    with pytest.raises(BadInput, match=r"has the subject CN=acme-2,O=Globex, not CN=acme-2,OU=Line 2,O=Acme,C=CH"):
        rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    new = DeviceIdentity.load(device / "next")
    assert keys.type_of(new.key) == "ec-p256" and certificates.days_of(new.certificate) == 5
    with pytest.raises(RootletError, match="nothing proves"):
        rotation.finish(aws, device, new.certificate_id)
    assert status(aws, old) == "ACTIVE"


def test_what_was_proved_and_is_refused_meanwhile_is_not_finished(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-3")
    done = rotation.begin(aws, device, authority, proved_at(sandbox, aws, device, connect=False))
    assert done.proved_by == "policies"
    arn = aws.describe_certificate(certificateId=done.new)["certificateDescription"]["certificateArn"]
    aws.detach_policy(policyName="acme-3", target=arn)
    with pytest.raises(RootletError, match="would refuse the new certificate"):
        rotation.finish(aws, device, done.new)
    assert status(aws, old) == "ACTIVE"
    assert DeviceIdentity.load(device).certificate_id == old.certificate_id


def test_a_connect_that_the_cloud_refuses_is_no_proof(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    of_acme(aws, authority, device, "acme-4")
    deny = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:000000000000:topic/dt/leaf/*"}
    aws.create_policy(policyName="no-will", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    arn = aws.list_thing_principals(thingName="acme-4")["principals"][0]
    aws.attach_policy(policyName="no-will", target=arn)  # the decision about iot:Connect alone does not see this
    with pytest.raises(RootletError, match="does not accept a CONNECT of acme-4"):
        rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    done = rotation.begin(aws, device, authority, proved_at(sandbox, aws, device, application="other"))
    assert done.proved_by == "connect"


def test_a_proof_leaves_a_devices_session_as_it_was(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-5")
    rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    with MqttClient(sandbox, old, tmp_path, clean=False) as client:
        assert client.is_on()
        assert not client.session_present, "an empty session would leave a device deaf, which does not subscribe again"
        assert client.may("subscribe", "a")
    rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    with MqttClient(sandbox, old, tmp_path, clean=False) as client:
        assert client.is_on()
        assert client.session_present


def test_a_swap_interrupted_between_its_renames_is_finished(authority: Authority, tmp_path: Path) -> None:
    device = tmp_path / "d"
    old, new = authority.issue("turn-3"), authority.issue("turn-3")
    old.save(device)
    new.save(device / "next")
    device.rename(device.with_name("d.rotating"))  # the plug was pulled here
    rotation._resume_swap(device)
    assert DeviceIdentity.load(device).certificate_id == new.certificate_id
    assert DeviceIdentity.load(device / "previous").certificate_id == old.certificate_id


def many(authority: Authority, directory: Path, name: str, count: int = 4) -> list[DeviceIdentity]:
    made = [authority.issue(f"{name}-{number}") for number in range(count)]
    for identity in made:
        identity.save(directory / identity.thing)
    return made


def register_all(directory: Path, *options: str) -> dict[str, Any]:
    answer = run("register-all", directory, "--json", *options)
    assert answer.exit_code == 0, answer.output
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def test_many_devices_are_registered_and_what_is_done_is_not_asked_again(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    devices = many(authority, tmp_path / "devices", "many")
    first = register_all(tmp_path / "devices")
    assert first == {"registered": 4, "before": 0, "mended": [], "failed": [], "notice": ""}
    place = tmp_path / "devices" / "registered.jsonl"
    lines = place.read_text().splitlines()
    place.write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])  # a crash in the third device's line
    again = register_all(tmp_path / "devices")
    assert (again["before"], again["registered"], again["notice"]) == (2, 2, "")
    assert all(status(aws, device) == "ACTIVE" for device in devices)


@pytest.mark.parametrize("how", ["region", "options", "nameless"])
def test_a_journal_of_something_else_does_not_count(
    aws: IoTClient, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    devices = tmp_path / "devices"
    made = many(authority, devices, f"elsewhere-{how}", 2)
    place = devices / "registered.jsonl"
    assert register_all(devices)["registered"] == 2
    if how == "nameless":  # of an earlier version
        place.write_text("".join(line + "\n" for line in place.read_text().splitlines()[1:]))
    if how == "region":
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
    elsewhere = boto3.client("iot")
    assert (status(elsewhere, made[0]) == "ACTIVE") == (how != "region")
    again = register_all(devices, *(["--service", "jobs"] if how == "options" else []))
    assert (again["before"], again["registered"]) == (0, 2)
    about = {"region": "another endpoint", "options": 'another services ([], now ["jobs"])', "nameless": "does not say"}
    assert about[how] in again["notice"] and "began afresh" in again["notice"]
    assert all(status(elsewhere, identity) == "ACTIVE" for identity in made)
    assert len(list(devices.glob("registered.jsonl.replaced-*"))) == 1


def test_an_account_that_lost_its_state_is_noticed_and_verify_finds_what_one_device_lacks(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    devices = tmp_path / "devices"
    made = many(authority, devices, "lost")
    register_all(devices)
    principal = aws.list_thing_principals(thingName="lost-2")["principals"][0]
    aws.detach_thing_principal(thingName="lost-2", principal=principal)
    assert register_all(devices)["notice"] == "", "only the certificates of a sample are looked up"
    verified = register_all(devices, "--verify")
    assert (verified["mended"], verified["registered"], verified["before"]) == (["lost-2"], 0, 4)
    assert aws.list_thing_principals(thingName="lost-2")["principals"] == [principal]
    assert register_all(devices, "--verify")["mended"] == []
    run("delete", devices / "lost-1")
    assert "does not know 1 of 4" in register_all(devices)["notice"]
    for number in (0, 2, 3):
        run("delete", devices / f"lost-{number}")
    again = register_all(devices)
    assert "does not know 4 of 4" in again["notice"] and again["registered"] == 4
    assert all(status(aws, identity) == "ACTIVE" for identity in made)


def test_of_two_runs_at_once_one_is_refused(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    many(authority, tmp_path / "devices", "twice", 1)
    about = journal.purpose(aws, registration.RegistrationRequest())
    with journal.opened(tmp_path / "devices" / "registered.jsonl", about):
        error = run("register-all", tmp_path / "devices").exception
    assert isinstance(error, RootletError) and "another run" in error.what
    assert register_all(tmp_path / "devices")["registered"] == 1


def test_one_bad_device_does_not_hold_up_the_others(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    for number in range(3):
        authority.issue(f"bad-{number}").save(tmp_path / "devices" / f"bad-{number}")
    revoked = DeviceIdentity.load(tmp_path / "devices" / "bad-1")
    registration.register(aws, revoked, registration.RegistrationRequest("leaf", ["climate"]))
    aws.update_certificate(certificateId=revoked.certificate_id, newStatus="REVOKED")
    result = run("register-all", tmp_path / "devices", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["registered"] == 2
    assert [failure["thing"] for failure in answer["failed"]] == ["bad-1"]


def test_the_token_bucket_lets_a_seconds_worth_through_at_once_and_then_keeps_the_pace() -> None:
    now = 0.0
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waits.append(seconds)

    bucket = bulk.TokenBucket(10, lambda: now, sleep)
    for _ in range(30):
        bucket.take()
    assert len(waits) == 20
    assert sum(waits) == pytest.approx(2.0)
    now += 60
    for _ in range(10):
        bucket.take()
    assert len(waits) == 20  # a long rest saves up no more than a second's worth


def test_a_paced_client_keeps_each_operation_below_its_limit(aws: IoTClient) -> None:
    iot = bulk.paced({"DescribeEndpoint": 20})
    started = time.monotonic()
    for _ in range(30):
        iot.describe_endpoint(endpointType="iot:Data-ATS")
    assert time.monotonic() - started > 0.4  # 20 at once, 10 more at 20 a second


def test_a_pem_bundle_and_a_csv_are_registered(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    one, two, three = (authority.issue(f"maker-{n}") for n in range(3))
    bundle = tmp_path / "bundle.pem"
    ca = authority.certificate.public_bytes(Encoding.PEM)
    bundle.write_bytes(one.certificate.public_bytes(Encoding.PEM) + ca)
    assert run("import-manifest", bundle).exit_code == 0
    (tmp_path / "two.crt").write_bytes(two.certificate.public_bytes(Encoding.PEM))
    sheet = tmp_path / "modules.csv"
    der = base64.b64encode(three.certificate_der()).decode()
    sheet.write_text(f"thing,certificate\n,two.crt\nrenamed-3,{der}\n")
    result = run("import-manifest", sheet)
    assert result.exit_code == 0, result.output
    assert [status(aws, device) for device in (one, two, three)] == ["ACTIVE"] * 3
    assert aws.describe_thing(thingName="renamed-3")


def microchip(certificates: list[Any], key: ec.EllipticCurvePrivateKey) -> bytes:
    def encoded(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    entries = []
    for number, certificate in enumerate(certificates):
        chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
        payload = encoded({"version": 1, "uniqueId": f"0123{number:04}", "publicKeySet": {"keys": [{"x5c": chain}]}})
        protected = encoded({"typ": "JWT", "alg": "ES256"})
        r, s = decode_dss_signature(key.sign(f"{protected}.{payload}".encode(), ec.ECDSA(hashes.SHA256())))
        signature = base64.urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).decode().rstrip("=")
        entries.append({"payload": payload, "protected": protected, "header": {"uniqueId": "x"}, "signature": signature})
    return json.dumps(entries).encode()


def test_a_signed_manifest_is_taken_only_from_its_signer_and_unchanged(authority: Authority, tmp_path: Path) -> None:
    signer, other = sign("Log Signer"), sign("Somebody")
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    manifest = tmp_path / "manifest.json"
    data = microchip([authority.issue("chip").certificate], signer.key)
    manifest.write_bytes(data)
    (found,) = imports.read(manifest, [other.certificate, signer.certificate])
    assert found.thing == "01230000"
    with pytest.raises(RootletError, match="no --signer made the signature"):
        imports.read(manifest, [other.certificate])
    with pytest.raises(RootletError, match="is a signed manifest"):
        imports.read(manifest)
    entries = json.loads(data)
    entries[0]["payload"] = entries[0]["payload"][:-4] + "AAAA"
    manifest.write_text(json.dumps(entries))
    with pytest.raises(RootletError, match="entry 1"):
        imports.read(manifest, [signer.certificate])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no column certificate"),
        ("thing\nx\n", "no column certificate"),
        ("thing,certificate\nx,nonsense!\n", "row 2: the column certificate has no certificate"),
        ("[]", "is a signed manifest"),
    ],
)
def test_a_manifest_that_is_none_is_named_before_anything_is_registered(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "manifest"
    path.write_text(content)
    with pytest.raises(RootletError, match=words):
        imports.read(path)


def test_a_thing_that_is_there_twice_is_refused(authority: Authority, tmp_path: Path) -> None:
    pem = b"".join(authority.issue("twin").certificate.public_bytes(Encoding.PEM) for _ in range(2))
    (tmp_path / "twins.pem").write_bytes(pem)
    with pytest.raises(RootletError, match="has thing twin twice"):
        imports.read(tmp_path / "twins.pem")


def test_the_audit_finds_what_was_left_lying_about(aws: IoTClient, authority: Authority) -> None:
    short = authority.issue("audit-1", days=20)
    arn = aws.register_certificate_without_ca(
        certificatePem=short.certificate.public_bytes(Encoding.PEM).decode(), status="ACTIVE"
    )["certificateArn"]
    aws.create_policy(policyName="audit-all", policyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    ))  # fmt: skip
    aws.attach_policy(policyName="audit-all", target=arn)
    result = run("audit", "--json")
    assert result.exit_code == 1
    kinds = {entry["kind"] for entry in json.loads(result.stdout) if entry["certificate_id"] == short.certificate_id}
    assert kinds == {"expiry", "no-thing", "wide"}


def test_the_audit_decides_what_a_policy_allows_also_one_of_a_group_and_tells_it_once(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    prefix = "arn:aws:iot:us-east-1:000000000000"
    wide = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{prefix}:client/*"}
    of_group = {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{prefix}:topic/dt/*/climate"}
    narrow = wide | {"Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}
    for name, statement in (("audit-any", wide), ("audit-group", of_group), ("audit-attached", narrow)):
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        aws.create_policy(policyName=name, policyDocument=document)
    things = registration.ThingProperties(groups=["audit-north"])
    aws.attach_policy(policyName="audit-group", target=aws.create_thing_group(thingGroupName="audit-north")["thingGroupArn"])
    for thing, policy in (("audit-2", "audit-any"), ("audit-3", "audit-any"), ("audit-4", "audit-attached")):
        registration.register(aws, authority.issue(thing), registration.RegistrationRequest(policy=policy, thing=things))
    orphan = authority.issue("audit-5")
    registration.register(aws, orphan, registration.RegistrationRequest(policy="audit-attached", thing=things))
    aws.detach_policy(policyName="audit-attached", target=aws.list_thing_principals(thingName="audit-5")["principals"][0])
    found = json.loads(run("audit", "--json").stdout)
    told = [entry["text"] for entry in found if entry["kind"] == "wide" and "audit-a" in entry["text"]]
    assert told[-1] == f"policy audit-any lets it connect as any client: statement 1, {prefix}:client/* (and 1 more)"
    assert not any("audit-attached" in text for text in told)
    (group,) = [entry["text"] for entry in found if "audit-group" in entry["text"]]
    assert group.endswith("receive other devices' messages: statement 1, " + f"{prefix}:topic/dt/*/climate (and 3 more)")
    kinds = {entry["kind"] for entry in found if entry["certificate_id"] == orphan.certificate_id}
    assert kinds == set(), "its policy is that of its thing's group"
