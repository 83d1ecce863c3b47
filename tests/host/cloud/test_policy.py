"""``rootlet cloud policy``: narrow policies, warnings about wide ones, and what a policy would decide."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mypy_boto3_iot import IoTClient
from rootlet import resources
from rootlet.cloud import provisioning, registration
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.policies import document, rendering
from rootlet.policies.check import check

PREFIX = "arn:aws:iot:eu-west-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"
Run = Callable[..., Result]


def subscribed(service: str) -> object:
    """What the firmware subscribes to, below the service's own topics."""
    source = ast.parse((resources.FIRMWARE / "leaf" / "services" / f"{service}.py").read_text())
    classes = [node for node in source.body if isinstance(node, ast.ClassDef)]
    assignments = [node for cls in classes for node in cls.body if isinstance(node, ast.Assign)]
    return ast.literal_eval(next(node.value for node in assignments if ast.unparse(node.targets[0]) == "answers"))


@pytest.fixture
def run() -> Run:
    from rootlet.cli.cloud.group import command

    def invoke(*arguments: str | Path) -> Result:
        return CliRunner().invoke(command, ["policy", *map(str, arguments)])

    return invoke


@pytest.mark.parametrize(
    "made",
    [
        rendering.render(PREFIX, "leaf", ["climate"]),
        rendering.render_service(PREFIX, "shadow"),
        rendering.render_service(PREFIX, "shadow:" + "x" * 64),
        rendering.render_service(PREFIX, "jobs"),
        rendering.render_customers(PREFIX, {"Acme": "acme", "Globex Ltd": "globex"}, ["climate"]),
        rendering.render_customers(
            PREFIX, {f"customer-{number}": f"customer-{number}" for number in range(20)}, ["climate"]
        ),
    ],
)
def test_what_is_rendered_fits_and_gives_no_reason_for_a_warning(made: dict[str, Any]) -> None:
    assert document.characters(made) <= document.MAX_CHARACTERS
    assert not check("made", made)


def test_a_service_has_a_policy_of_its_own_with_no_wildcard_but_for_the_ids_of_jobs() -> None:
    longest = "x" * 64
    assert all("*" not in json.dumps(rendering.render_service(PREFIX, name)) for name in ("shadow", f"shadow:{longest}"))
    made = json.dumps(rendering.render_service(PREFIX, "jobs"))
    assert made.count("*") == made.count("/jobs/*/update") == 2


def test_a_device_may_use_the_services_that_its_policy_was_made_for_and_no_other_devices(
    tmp_path: Path, authority: Authority, run: Run
) -> None:
    authority.issue("sensor-1").save(tmp_path / "sensor-1")
    (tmp_path / "leaf.json").write_text(run("render", "--arn-prefix", PREFIX).stdout)
    for service in ("shadow", "shadow:config", "jobs"):
        made = run("render", "--arn-prefix", PREFIX, "--service", service)
        assert made.exit_code == 0, made.output
        (tmp_path / "policy.json").write_text(made.stdout)
        both: list[str | Path] = ["--policy-file", tmp_path / "leaf.json", "--policy-file", tmp_path / "policy.json"]

        def may(action: str, target: str, both: list[str | Path] = both) -> bool:
            done = run("simulate", tmp_path / "sensor-1", action, target, *both)
            return done.exit_code == 0

        kind = service.partition(":")[0]
        path = service.replace(":", "/name/")
        requests, answers = rendering.SERVICES[kind]
        assert answers == subscribed(kind)
        for request in requests:
            topic = path + "/" + request.replace("+", "job-1")
            assert may("publish", f"$aws/things/sensor-1/{topic}")
            assert not may("publish", f"$aws/things/sensor-2/{topic}")
        for answer in answers:
            assert may("subscribe", f"$aws/things/sensor-1/{path}/{answer}")
            assert may("receive", f"$aws/things/sensor-1/{path}/{answer.replace('+', 'job-1')}")
            assert not may("subscribe", f"$aws/things/sensor-2/{path}/{answer}")
        assert not may("subscribe", f"$aws/things/sensor-1/{path}/#")


def test_a_service_is_rendered_for_all_customers_at_once(run: Run) -> None:
    done = run("render", "--service", "jobs", "--customer", "acme")
    assert isinstance(done.exception, RootletError) and "the same for all customers" in done.exception.what


@pytest.mark.parametrize("service", ["shade", "jobs:one", "shadow:", "shadow:a b"])
def test_a_service_that_no_device_has_is_refused_by_its_name(run: Run, service: str) -> None:
    done = run("render", "--arn-prefix", PREFIX, "--service", service)
    assert done.exit_code == 2
    assert service in done.output and "shadow, shadow:NAME or jobs" in done.output


@pytest.mark.parametrize(
    ("customers", "about"),
    [
        ({"Ac*me": "acme"}, "cannot stand in a policy"),
        ({"Acme": "ac/me"}, "not an application"),
        ({"Acme": "a", "Globex": "a"}, "same application"),
        ({f"Customer {number}": f"c{number}" for number in range(9)}, "characters"),
    ],
)
def test_customers_that_no_policy_can_tell_apart_are_refused(customers: dict[str, str], about: str) -> None:
    with pytest.raises(BadInput, match=about):
        rendering.render_customers(PREFIX, customers, ["climate"])


def test_render_asks_aws_for_region_and_account(run: Run, aws: IoTClient) -> None:
    done = run("render", "--customer", "Acme=acme", "--customer", "globex")
    made = json.loads(done.stdout)
    assert made == rendering.render_customers(
        "arn:aws:iot:us-east-1:000000000000", {"Acme": "acme", "globex": "globex"}, ["climate"]
    )


@pytest.mark.parametrize(
    ("statement", "level", "about"),
    [
        ({"Action": "iot:*"}, "error", "wildcard"),
        ({"Resource": "*"}, "error", "matches everything"),
        ({"Resource": f"{PREFIX}:topic/dt/*"}, "error", "other devices"),
        ({"Resource": f"{PREFIX}:topic/dt/{THING}/*"}, "warning", "more topics"),
        ({"Resource": f"{PREFIX}:topic/alarm"}, "warning", "same for every device"),
        ({"Resource": f"{PREFIX}:topicfilter/{THING}"}, "error", "never applies to"),
        ({"Resource": f"{PREFIX}:topic/{THING}/#"}, "error", "not wildcards"),
        ({"Resource": f"arn:aws:iot:*:*:topic/{THING}"}, "warning", "any region"),
        ({"Resource": f"{PREFIX}:topic/${{iot:Connection.Thing.Name}}"}, "error", "no variable"),
        ({"Condition": {"StringEquals": {"iot:Certificate.Issuer.Organisation": "x"}}}, "error", "no variable"),
        ({"Action": "iot:Connect", "Resource": f"{PREFIX}:client/${{iot:ClientId}}"}, "error", "any client"),
        ({"Action": "iot:Subscribe", "Resource": f"{PREFIX}:topicfilter/{THING}/#"}, "warning", "many topics"),
        ({"Action": "iot:DeleteThing", "Resource": f"{PREFIX}:thing/{THING}"}, "error", "no device's policy decides"),
        ({"Resource": "topic/x"}, "error", "not an ARN"),
    ],
)
def test_what_is_too_wide_or_cannot_work_is_found(statement: dict[str, Any], level: str, about: str) -> None:
    whole = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:topic/{THING}"}
    assert not check("p", {"Version": "2012-10-17", "Statement": [whole]})
    found = check("p", {"Version": "2012-10-17", "Statement": [whole, whole | statement]})
    assert [(finding.level, finding.statement) for finding in found if about in finding.what] == [(level, "statement 2")]


def test_a_claim_policy_has_no_error_and_each_topic_by_name() -> None:
    made = provisioning.claim_policy(PREFIX, "fleet")
    (found,) = check("claim", made)
    assert (found.level, "connects as any client" in found.what) == ("warning", True)
    text = json.dumps(made)
    assert text.count("*") == 1 and "dt/" not in text
    longest = provisioning.claim_policy("arn:aws-us-gov:iot:us-gov-west-1:123456789012", "x" * 36)
    assert document.characters(longest) <= document.MAX_CHARACTERS
    with pytest.raises(BadInput, match="is not the name of a template"):
        provisioning.claim_policy(PREFIX, "x/*")


@pytest.mark.parametrize(
    ("resource", "levels"),
    [
        ("topic/$aws/certificates/create/*", ["warning"]),  # as AWS's own example of a claim policy has it
        ("topic/$aws/certificates/create-from-csr/cbor", []),
        ("topic/$aws/provisioning-templates/fleet/provision/*", ["warning"]),
        ("topic/$aws/provisioning-templates/*/provision/json", ["error"]),  # any template
        ("topic/$aws/certificates/*", ["error"]),
    ],
)
def test_the_topics_of_provisioning_are_no_other_devices_and_one_template_is_named(resource: str, levels: list[str]) -> None:
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{PREFIX}:client/{THING}"},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:{resource}"},
    ]
    found = check("p", {"Version": "2012-10-17", "Statement": statements})
    assert [finding.level for finding in found] == levels


def test_a_deny_may_be_as_wide_as_it_likes_and_an_inverted_allow_may_not() -> None:
    assert not check("p", {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:*", "Resource": "*"}]})
    found = check(
        "p", {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotAction": "iot:Publish", "NotResource": "*"}]}
    )
    assert [finding.level for finding in found] == ["error", "error"]


def test_a_document_that_aws_would_not_take_for_its_size_is_found() -> None:
    resources = [f"{PREFIX}:topic/{THING}/{number}" for number in range(30)]
    found = check(
        "p", {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": resources}]}
    )
    assert ["characters" in finding.what for finding in found] == [True]


def test_check_exits_with_1_where_there_is_an_error(run: Run, tmp_path: Path) -> None:
    wide = tmp_path / "wide.json"
    wide.write_text(
        json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
    )
    done = run("check", wide)
    assert isinstance(done.exception, RootletError)
    assert "2 of 2 findings" in str(done.exception)
    assert len(json.loads(run("check", wide, "--json").stdout)) == 2
    missing = run("check", tmp_path / "missing.json")
    assert isinstance(missing.exception, BadInput)


def test_check_reads_a_policy_from_aws(run: Run, aws: IoTClient) -> None:
    aws.create_policy(policyName="narrow", policyDocument=json.dumps(rendering.render(PREFIX, "leaf", ["climate"])))
    assert "narrow" in run("check", "narrow").stdout
    absent = run("check", "absent")
    assert isinstance(absent.exception, RootletError)
    assert "ResourceNotFoundException" in str(absent.exception)


def test_simulate_says_by_which_statement_and_with_which_values(run: Run, tmp_path: Path, no_aws: None) -> None:
    ca = Authority.create(tmp_path / "ca", b"correct horse", name="CA", subject=Subject(organization="Acme"))
    ca.issue("pump-1").save(tmp_path / "pump-1")
    rendered = tmp_path / "policy.json"
    rendered.write_text(json.dumps(rendering.render_customers(PREFIX, {"Acme": "acme", "Globex": "globex"}, ["climate"])))
    asked = ("simulate", tmp_path / "pump-1")
    done = run(*asked, "publish", "dt/acme/pump-1/climate", "--policy-file", rendered)
    assert done.exit_code == 0, done.output
    assert f"allowed: iot:Publish on {PREFIX}:topic/dt/acme/pump-1/climate" in done.stdout
    assert "Allow by statement 2 of policy policy.json" in done.stdout
    assert "iot:Certificate.Issuer.Organization = Acme" in done.stdout
    assert "iot:Connection.Thing.ThingName = pump-1" in done.stdout
    crossing = run(*asked, "publish", "dt/globex/pump-1/climate", "--policy-file", rendered)
    assert crossing.exit_code == 1
    assert "wanted Globex, is Acme" in crossing.stdout
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "rootlet.cli.main",
        "cloud",
        "policy",
        *asked,
        "publish",
        "x",
        "--policy-file",
        rendered,
    ]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 1
    answer = json.loads(run(*asked, "subscribe", "cmd/acme/pump-1/request", "--policy-file", rendered, "--json").stdout)
    assert answer["allowed"]
    assert answer["by"] == {"policy": "policy.json", "statement": 2, "sid": ""}
    detached = run(*asked, "publish", "dt/acme/pump-1/climate", "--policy-file", rendered, "--client-id", "other")
    assert detached.exit_code == 1
    assert "(no value)" in detached.stdout
    assert "but iot:Connect as other is denied" in detached.stdout


def test_simulate_asks_aws_for_policies_thing_and_groups(
    run: Run, aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("sim-1")
    identity.save(tmp_path / "sim-1")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    asked = ("simulate", tmp_path / "sim-1", "publish")
    assert run(*asked, "dt/leaf/sim-1/climate").exit_code == 0
    assert run("simulate", identity.certificate_id, "connect", "sim-1").exit_code == 0
    assert run(*asked, "dt/leaf/sim-2/climate").exit_code == 1
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:000000000000:topic/extra"}
    aws.create_policy(policyName="sim-extra", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    outer = aws.create_thing_group(thingGroupName="sim-outer")["thingGroupArn"]
    aws.create_thing_group(thingGroupName="sim-inner", parentGroupName="sim-outer")
    aws.attach_policy(policyName="sim-extra", target=outer)
    assert run(*asked, "extra").exit_code == 1
    aws.add_thing_to_thing_group(thingGroupName="sim-inner", thingName="sim-1")
    assert run(*asked, "extra").exit_code == 0
    aws.update_certificate(certificateId=identity.certificate_id, newStatus="INACTIVE")
    off = run(*asked, "extra")
    assert off.exit_code == 1
    assert "but the certificate is INACTIVE" in off.stdout


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("fly", "x"), "not an action"),
        (("publish", "x", "--source-ip", "here"), "not an IP address"),
        (("publish", "x", "--thing-type", "y"), "go with --policy-file"),
        (("publish", "x", "--thing", "y"), "go with --policy-file"),
        (("publish", "x", "--policy-file", "nowhere.json"), "policy not found"),
        (("publish", "x", "--attribute", "y"), "--attribute y: not NAME=VALUE"),
    ],
)
def test_a_simulation_that_makes_no_sense_is_refused(
    run: Run, aws: IoTClient, authority: Authority, tmp_path: Path, arguments: tuple[str, ...], about: str
) -> None:
    identity = authority.issue("sim-2")
    identity.save(tmp_path / "sim-2")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    done = run("simulate", tmp_path / "sim-2", *arguments)
    assert isinstance(done.exception, BadInput)
    assert about in str(done.exception)


def test_simulate_takes_what_the_connection_asks_for(run: Run, tmp_path: Path, authority: Authority, no_aws: None) -> None:
    authority.issue("pump-1").save(tmp_path / "pump-1")

    def may(condition: dict[str, Any], *options: str, action: str = "connect", target: str = "pump-1") -> bool:
        connect = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{PREFIX}:client/*", "Condition": condition}
        will = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:topic/will"}
        policy = tmp_path / "policy.json"
        policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [connect, will]}))
        done = run("simulate", tmp_path / "pump-1", action, target, "--policy-file", policy, *options)
        assert done.exit_code in (0, 1) and (done.exception is None or isinstance(done.exception, SystemExit)), done.output
        return done.exit_code == 0

    clean: dict[str, Any] = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}
    assert may(clean) and may(clean, "--will-topic", "will")
    assert not may(clean, "--persistent")
    assert may(clean, action="publish", target="will") and not may(clean, "--persistent", action="publish", target="will")
    assert not may({}, "--will-topic", "elsewhere"), "a will that may not be published keeps the device out"
    willing = {"ArnEquals": {"iot:LastWillTopic": f"{PREFIX}:topic/will"}}
    assert may(willing, "--will-topic", "will") and not may(willing)
    near = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    assert may(near, "--source-ip", "10.1.2.3") and not may(near, "--source-ip", "11.1.2.3")
    named = {"StringEquals": {"iot:DomainName": "devices.example.com"}}
    assert may(named, "--domain-name", "devices.example.com") and not may(named)
    typed = {"StringEquals": {"iot:Connection.Thing.ThingTypeName": "pump"}}
    assert may(typed, "--thing-type", "pump") and not may(typed)


@pytest.mark.parametrize(
    ("action", "resource", "target"),
    [
        ("getretainedmessage", f"{PREFIX}:topic/a", "a"),
        ("listretainedmessages", "*", "*"),
        ("iot:UpdateThingShadow", f"{PREFIX}:thing/pump-1/config", "pump-1/config"),
        ("iotjobsdata:DescribeJobExecution", f"{PREFIX}:thing/pump-1", "pump-1"),
    ],
)
def test_simulate_decides_actions_over_https_which_need_no_connection(
    run: Run, tmp_path: Path, authority: Authority, no_aws: None, action: str, resource: str, target: str
) -> None:
    authority.issue("pump-1").save(tmp_path / "pump-1")
    named = action if ":" in action else f"iot:{action}"

    def may(allowed: str) -> bool:
        statement = {"Effect": "Allow", "Action": named, "Resource": allowed}
        policy = tmp_path / "policy.json"
        policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        asked = ("simulate", tmp_path / "pump-1", action, target, "--policy-file", policy, "--arn-prefix", PREFIX)
        return run(*asked).exit_code == 0

    assert may(resource)
    assert not may(resource.replace("pump-1", THING).replace("topic/a", f"topic/{THING}").replace("*", PREFIX)), (
        "over HTTPS there is no client ID, and so no thing"
    )


def test_simulate_knows_the_thing_that_a_certificate_is_exclusively_attached_to(
    run: Run, aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("sim-only")
    identity.save(tmp_path / "sim-only")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    asked = ("simulate", tmp_path / "sim-only", "publish", "dt/leaf/sim-only/climate")
    other = (*asked, "--client-id", "another")
    assert run(*asked).exit_code == 0
    assert run(*other).exit_code == 1
    principal = f"arn:aws:iot:us-east-1:000000000000:cert/{identity.certificate_id}"
    aws.attach_thing_principal(thingName="sim-only", principal=principal, thingPrincipalType="EXCLUSIVE_THING")
    decided = json.loads(run(*other, "--json").stdout)
    assert decided["by"], "the thing is the certificate's, whatever the client ID is"
    assert decided["hindrances"] == ["iot:Connect as another is denied"], "the policy names the thing as the only client"
