"""What the cloud would answer, near enough that a whole string can be read.

Contracts need strings such as an image's address or a service account's e-mail in full. Nothing here is a promise about
Google: it is each output's type, and the known form of the few that others are made of.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pulumi import _types
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from runbooks.plan.sdk import answer_class, resource_class

PROJECT_NUMBER = "123456789012"
# How deep the objects within an answer are filled.
DEPTH = 3

# An id that is not projects/<project>/<name>, by the type's last part.
IDS = {
    "DatabaseInstance": "{name}",
    "Bucket": "{name}",
    "Database": "projects/{project}/instances/{instance}/databases/{name}",
    "Network": "projects/{project}/global/networks/{name}",
    "Subnetwork": "projects/{project}/regions/{region}/subnetworks/{name}",
    "GlobalAddress": "projects/{project}/global/addresses/{name}",
    "Account": "projects/{project}/serviceAccounts/{email}",
    "Secret": "projects/{project}/secrets/{name}",
    "SecretVersion": "{secret}/versions/1",
    "Instance": "projects/{project}/locations/{region}/instances/{name}",
    "Repository": "projects/{project}/locations/{region}/repositories/{name}",
    "Service": "projects/{project}/locations/{region}/services/{name}",
    "Job": "projects/{project}/locations/{region}/jobs/{name}",
    "Topic": "projects/{project}/topics/{name}",
    "NotificationChannel": "projects/{project}/notificationChannels/{number}",
    "AlertPolicy": "projects/{project}/alertPolicies/{number}",
    "KeyRing": "projects/{project}/locations/{region}/keyRings/{name}",
    "CryptoKey": "{keyRing}/cryptoKeys/{name}",
    "IAMCustomRole": "projects/{project}/roles/{roleId}",
    "Dataset": "projects/{project}/datasets/{name}",
}
# Types whose `name` is the id, whatever the program calls them.
NAMED_BY_ID = ("NotificationChannel", "AlertPolicy", "Account", "IAMCustomRole", "SecretVersion", "Secret")
# The input that names a resource, where it is not `name`.
NAMES = ("name", "accountId", "secretId", "repositoryId", "datasetId", "serviceId", "service")

# The fact of which an output is made, by how its name ends.
ENDINGS = {
    ("ipaddress", "address", "host", "ip"): "_address",
    ("time", "timestamp"): "_time",
    ("email",): "email",
    ("uri", "url"): "url",
}
# Of the range for documentation.
PUBLIC_ADDRESS = "203.0.113.10"


class Plausible(Mocks):
    """Answers with plausible values.

    Args:
        project: the Pulumi project's name.
        settings: the stack's, of which Google's project and region are read.
    """

    def __init__(self, project: str, settings: Mapping[str, str]) -> None:
        self._project = settings.get(f"{project}:project", settings.get("gcp:project", project))
        self._region = settings.get(f"{project}:region", settings.get("gcp:region", "us-central1"))

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """A resource as it were after its creation."""
        declared = resource_class(args.typ)
        facts = self._facts(args)
        kind = args.typ.split(":")[-1]
        facts["id"] = args.resource_id or IDS.get(kind, "projects/{project}/{kind}/{name}").format_map(
            {**facts, "kind": kind[:1].lower() + kind[1:]}
        )
        if kind in NAMED_BY_ID:
            facts["name"] = facts["id"]
        types = _types.resource_types(declared) if declared is not None else {}
        return facts["id"], self._filled(types, facts, DEPTH)

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        """What a function might answer."""
        declared = answer_class(args.token)
        if declared is None:
            return {}, None
        facts = self._facts(MockResourceArgs(args.token, args.token.split(":")[-1], args.args))
        facts["id"] = f"projects/{facts['project']}"
        return {**self._filled(_types.output_type_types(declared), facts, DEPTH), **args.args}, None

    def _facts(self, args: MockResourceArgs) -> dict[str, Any]:
        """What the answers of one resource are made of."""
        given = {name: value for name, value in args.inputs.items() if isinstance(value, str)}
        name = next((given[key] for key in NAMES if key in given), args.name)
        project = given.get("project", self._project)
        region = given.get("region") or given.get("location") or self._region
        digest = int(hashlib.sha256(args.name.encode()).hexdigest(), 16)
        number = str(10**18 + digest % 10**18)
        email = f"{name}@{project}.iam.gserviceaccount.com"
        return {
            "instance": "instance",
            "roleId": args.name,
            "secret": f"projects/{project}/secrets/{name}",
            "keyRing": f"projects/{project}/locations/{region}/keyRings/ring",
            **given,
            "name": name,
            "project": project,
            "region": region,
            "email": email,
            "member": f"serviceAccount:{email}",
            "number": PROJECT_NUMBER,
            "projectNumber": PROJECT_NUMBER,
            "projectId": project,
            "uniqueId": number,
            "connectionName": f"{project}:{region}:{name}",
            "selfLink": f"https://www.googleapis.com/{args.typ.split(':')[1].split('/')[0]}/v1/projects/{project}/{name}",
            "uri": f"https://{name}-{PROJECT_NUMBER}.{region}.run.app",
            "url": f"https://{name}.example.com",
            "registryUri": f"{region}-docker.pkg.dev/{project}/{name}",
            "_time": "2026-01-01T00:00:00Z",
            "_address": f"10.{digest % 200 + 20}.{digest // 200 % 250}.{digest // 50000 % 250 + 2}",
        }

    def _filled(self, types: Mapping[str, Any], facts: Mapping[str, Any], depth: int) -> dict[str, Any]:
        return {name: _value(name, type_, facts, depth) for name, type_ in types.items() if name != "urn"}


PLAIN: dict[Any, Any] = {bool: False, int: 1, float: 1}


def _value(name: str, type_: Any, facts: Mapping[str, Any], depth: int) -> Any:
    if type_ is str:
        return _text(name, facts)
    if _types.is_output_type(type_) and depth:
        inner = _types.output_type_types(type_)
        return {key: _value(key, one, facts, depth - 1) for key, one in inner.items()}
    if get_origin(type_) in (list, Sequence):
        return [_value(name, get_args(type_)[0], facts, depth)] if depth else []
    return PLAIN.get(type_, {})


def _text(name: str, facts: Mapping[str, Any]) -> str:
    if name in facts:
        return str(facts[name])
    lowered = name.lower()
    if "public" in lowered and "address" in lowered:
        return PUBLIC_ADDRESS
    found = (str(facts[fact]) for endings, fact in ENDINGS.items() if lowered.endswith(endings))
    return next(found, f"{facts['name']}-{name}")
