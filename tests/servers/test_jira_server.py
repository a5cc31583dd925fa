"""The stand-in for Jira does what Jira does: seen by the `jira` package, and by requests that it would not send."""

import hashlib
import hmac
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from jira import JIRA, JIRAError

from tests.servers._http import Answer, Server
from tests.servers.jira import TOKEN, Jira

SECRET = "webhook-secret-of-tests"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
TASK = {"project": {"key": "OPS"}, "issuetype": {"name": "Task"}, "summary": "A bucket is public"}


class Clock:
    def __init__(self):
        self.at = NOON

    def __call__(self):
        return self.at

    def pass_(self, seconds):
        self.at += seconds


class Api:
    """Requests as they are, without a package that knows better."""

    def __init__(self, jira):
        self.jira, self.session = jira, requests.Session()
        self.session.trust_env = False
        if jira.cloud:
            self.session.auth = (jira.email, TOKEN)
        else:
            self.session.headers["Authorization"] = f"Bearer {TOKEN}"

    def __call__(self, method, path, body=None, *, version=2, **more):
        given = more if body is None else {"json": body, **more}
        return self.session.request(method, f"{self.jira.url}/rest/api/{version}/{path}", timeout=2, **given)

    def create(self, *, version=2, properties=(), **fields):
        answer = self("POST", "issue", {"fields": {**TASK, **fields}, "properties": list(properties)}, version=version)
        assert answer.status_code == 201, answer.text
        return answer.json()["key"]

    def go(self, key, to, **body):
        ways = self("GET", f"issue/{key}/transitions").json()["transitions"]
        way = next(each for each in ways if each["to"]["name"] == to)
        return self("POST", f"issue/{key}/transitions", {"transition": {"id": way["id"]}, **body})

    def keys(self, jql, **more):
        found = self(
            "GET", "search/jql" if self.jira.cloud else "search", params={"jql": jql, "fields": "summary", **more}
        ).json()
        return [each["key"] for each in found["issues"]]


def made(request, **more):
    return Jira(**{"clock": Clock(), **getattr(request, "param", {}), **more})


@pytest.fixture
def jira(request):
    with made(request) as server:
        server.search_page = 50
        yield server
        assert server.violations == []


@pytest.fixture
def crooked(request):
    """One whose violations the test looks at."""
    with made(request) as server:
        yield server


@pytest.fixture
def api(jira):
    return Api(jira)


def package(server):
    """The `jira` package, as the product sets it up."""
    signed_in = {"basic_auth": (server.email, TOKEN)} if server.cloud else {"token_auth": TOKEN}
    client = JIRA(
        server.url, options={"rest_api_version": "2", "check_update": False}, max_retries=0, timeout=(2, 2), get_server_info=False, **signed_in,
    )  # fmt: skip
    client.deploymentType = "Cloud" if server.cloud else "Server"
    client._version = (1001, 0, 0) if server.cloud else (9, 12, 15)
    return client


on_both = pytest.mark.parametrize("jira", [{}, {"deployment": "Server"}], indirect=True, ids=["cloud", "server"])
on_server = pytest.mark.parametrize("jira", [{"deployment": "Server"}], indirect=True, ids=["server"])


# --- issues -------------------------------------------------------------------------------------------------------------------


@on_both
def test_an_issue_lives_and_ends(jira):
    client = package(jira)
    key = client.create_issue(fields={**TASK, "labels": ["fx-1"], "description": "h1. Why"}, prefetch=False).key
    issue = client.issue(key)
    issue.update(fields={"summary": "Two buckets are public"})

    assert (issue.fields.summary, issue.fields.labels, issue.fields.description) == (
        "Two buckets are public",
        ["fx-1"],
        "h1. Why",
    )
    assert issue.fields.status.statusCategory.key == "new"
    issue.delete()
    with pytest.raises(JIRAError, match="Issue does not exist"):
        client.issue(key)
    assert jira.issues == {}


def test_a_property_is_written_in_the_same_post(jira, api):
    key = api.create(properties=[{"key": "cspm", "value": {"mark": "fx-1"}}])
    assert api("GET", f"issue/{key}/properties/cspm").json() == {"key": "cspm", "value": {"mark": "fx-1"}}


@pytest.mark.parametrize(("wrong", "said"), [
    ({"summary": ""}, "You must specify a summary of the issue."),
    ({"summary": "two\nlines"}, "The summary is invalid because it contains newline characters."),
    ({"summary": "x" * 256}, "Summary can't exceed 255 characters."),
    ({"description": "x" * 32_768}, "The entered text is too long. It exceeds the allowed limit of 32,767 characters."),
    ({"description": {"type": "doc"}}, "Operation value must be a string"),
    ({"labels": ["two words"]}, "The label 'two words' contains spaces which is invalid."),
    ({"labels": ["x" * 256]}, f"The label '{'x' * 256}' exceeds the maximum length for labels, which is 255 characters."),
    ({"labels": "one"}, "data was not an array"),
    ({"duedate": "tomorrow"}, "Error parsing date string: tomorrow"),
    ({"priority": {"name": "Urgent"}}, "Priority name 'Urgent' is not valid"),
    ({"environment": "prod"}, "Field 'environment' cannot be set. It is not on the appropriate screen, or unknown."),
    ({"assignee": {"accountId": "712020:nobody"}}, "User '712020:nobody' does not exist."),
    ({"project": {"key": "NONE"}}, "valid project is required"),
    ({"issuetype": {"name": "Epic"}}, "Specify a valid issue type"),
])  # fmt: skip
def test_what_a_field_cannot_hold_is_refused_by_its_name(jira, api, wrong, said):
    answer = api("POST", "issue", {"fields": {**TASK, **wrong}})
    assert (answer.status_code, answer.json()) == (400, {"errorMessages": [], "errors": {next(iter(wrong)): said}})
    assert jira.issues == {}


def test_what_is_just_short_enough_is_taken(jira, api):
    key = api.create(summary="ü" * 255, description="🔥" * 32_767, labels=["x" * 255])
    assert jira.issue(key)["fields"]["labels"] == ["x" * 255]


@pytest.mark.parametrize("text", ["nul \0", "half a pair \ud83d"])
def test_what_is_no_character_is_refused(api, text):
    assert api("POST", "issue", {"fields": {**TASK, "description": text}}).json()["errorMessages"] == ["INVALID_INPUT"]


def test_a_project_and_type_can_want_a_field_of_its_own(jira, api):
    centre = {
        "name": "Cost centre",
        "required": True,
        "schema": {"type": "option"},
        "allowedValues": [{"id": "7", "value": "IT"}],
    }
    jira.screens["OPS", "Bug"] = {"customfield_7": centre, "priority": None}
    bug = {"issuetype": {"name": "Bug"}}

    missing = api("POST", "issue", {"fields": {**TASK, **bug, "priority": {"id": "1"}}}).json()["errors"]
    assert missing["customfield_7"] == "Cost centre is required."
    assert missing["priority"].startswith("Field 'priority' cannot be set.")
    assert api("POST", "issue", {"fields": {**TASK, **bug, "customfield_7": {"value": "HR"}}}).json()["errors"] == {
        "customfield_7": "Option value 'HR' is not valid"
    }
    assert api.create(**bug, customfield_7={"value": "IT"}) == "OPS-1"
    assert api.create() == "OPS-2"


def test_labels_can_be_added_and_removed_one_by_one(jira, api):
    key = api.create(labels=["a", "b"])
    assert api("PUT", f"issue/{key}", {"update": {"labels": [{"add": "c"}, {"remove": "a"}]}}).status_code == 204
    assert jira.issue(key)["fields"]["labels"] == ["b", "c"]
    assert api("PUT", f"issue/{key}", {"fields": {"labels": ["a b"]}}).status_code == 400


def test_rest_3_takes_and_gives_documents(jira, api):
    document = {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Why"}]}]}
    key = api.create(version=3, description=document)

    assert api("GET", f"issue/{key}", version=3).json()["fields"]["description"] == document
    assert api("GET", f"issue/{key}").json()["fields"]["description"] == "Why"
    plain = api("POST", "issue", {"fields": {**TASK, "description": "Why"}}, version=3).json()["errors"]["description"]
    assert plain.startswith("Operation value must be an Atlassian Document")
    document["content"][0]["content"][0]["text"] = ""
    refused = api("POST", "issue", {"fields": {**TASK, "description": document}}, version=3)
    assert refused.json()["errorMessages"] == ["INVALID_INPUT"]


@pytest.mark.parametrize("crooked", [{"deployment": "Server"}], indirect=True)
def test_data_center_has_no_rest_3_and_no_bulkfetch(crooked):
    api = Api(crooked)
    assert api("GET", "myself", version=3).status_code == 404
    assert api("POST", "issue/bulkfetch", {"issueIdsOrKeys": []}).status_code == 405
    assert len(crooked.violations) == 2


def test_a_moved_issue_keeps_its_id_and_answers_to_both_keys(jira, api):
    key = api.create()
    number = jira.only()["id"]
    jira.person().move(key, "SEC")

    assert [api("GET", f"issue/{name}").json()["key"] for name in (key, "SEC-1", number)] == ["SEC-1"] * 3
    assert api("POST", "issue/bulkfetch", {"issueIdsOrKeys": [key]}).json()["issues"][0]["id"] == number
    assert api.keys(f"key = {key}") == ["SEC-1"]
    assert api.keys("project = OPS") == []


def test_bulkfetch_gives_what_is_there_by_ascending_id(jira, api):
    keys = [api.create() for _number in range(3)]
    found = api("POST", "issue/bulkfetch", {"issueIdsOrKeys": [keys[2], "OPS-99", keys[0].lower()], "fields": ["status"]}).json()
    assert [each["key"] for each in found["issues"]] == [keys[0], keys[2]]
    assert found["issues"][0]["fields"].keys() == {"status"}


def test_bulkfetch_takes_a_hundred(crooked):
    names = [str(number) for number in range(101)]
    assert Api(crooked)("POST", "issue/bulkfetch", {"issueIdsOrKeys": names[:100]}).status_code == 200
    assert Api(crooked)("POST", "issue/bulkfetch", {"issueIdsOrKeys": names}).status_code == 400
    assert crooked.violations == ["bulkfetch of 101, more than 100"]


def test_history_says_who_changed_what(jira, api):
    key = api.create()
    jira.person("Bob Petit").edit(key, labels=["seen"])
    (entry,) = api("GET", f"issue/{key}", params={"expand": "changelog"}).json()["changelog"]["histories"]
    assert (entry["author"]["displayName"], entry["items"][0]["field"], entry["items"][0]["toString"]) == (
        "Bob Petit",
        "labels",
        "seen",
    )
    assert api("GET", f"issue/{key}/changelog").json()["total"] == 1


# --- what a screen wants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jira", "types", "fields"), [({}, "issueTypes", "fields"), ({"deployment": "Server"}, "values", "values")], indirect=["jira"]
)
def test_createmeta_comes_in_pages_and_is_called_otherwise_by_data_center(jira, api, types, fields):
    task = api("GET", "issue/createmeta/OPS/issuetypes").json()[types][0]
    path, names = f"issue/createmeta/OPS/issuetypes/{task['id']}", []
    while len(names) < (page := api("GET", path, params={"startAt": len(names)}).json())["total"]:
        names += [each["fieldId"] for each in page[fields]]
        assert len(page[fields]) <= 5
    assert names == list(jira.screen)
    assert api("GET", "issue/createmeta/NONE/issuetypes").status_code == 404


@on_both
def test_the_old_createmeta_still_answers(jira):
    client = package(jira)
    path = "issue/createmeta"
    told = client._get_json(path, params={"projectKeys": "OPS", "issuetypeNames": "Bug", "expand": "projects.issuetypes.fields"})
    (kind,) = told["projects"][0]["issuetypes"]
    assert (kind["name"], kind["fields"]["summary"]["required"]) == ("Bug", True)


def test_editmeta_lacks_what_the_screen_lacks(jira, api):
    key = api.create()
    del jira.screen["duedate"]
    fields = api("GET", f"issue/{key}/editmeta").json()["fields"]
    assert "priority" in fields
    assert "duedate" not in fields


# --- searching ----------------------------------------------------------------------------------------------------------------


def test_the_old_search_is_gone_from_cloud(api):
    for version in (2, 3):
        answer = api("GET", "search", params={"jql": "project = OPS"}, version=version)
        assert answer.status_code == 410
        assert "Please migrate to the /rest/api/3/search/jql API" in answer.json()["errorMessages"][0]


@on_both
def test_the_package_walks_all_pages(jira):
    client = package(jira)
    jira.search_page = 1
    keys = [client.create_issue(fields={**TASK, "labels": ["fx"]}, prefetch=False).key for _number in range(3)]
    found = client.search_issues('labels = "fx" ORDER BY created ASC, key', maxResults=False, fields="summary")
    assert [issue.key for issue in found] == keys


def test_pages_follow_by_token_and_ids_are_all_by_default(jira, api):
    jira.search_page = 2
    for _number in range(3):
        api.create()
    first = api("POST", "search/jql", {"jql": "project = OPS ORDER BY key"}).json()
    second = api("POST", "search/jql", {"jql": "project = OPS ORDER BY key", "nextPageToken": first["nextPageToken"]}).json()

    assert first["issues"] == [{"id": "10001"}, {"id": "10002"}]
    assert second == {"issues": [{"id": "10003"}], "isLast": True}
    jira.clock.pass_(8 * 86400)
    assert api("POST", "search/jql", {"jql": "project = OPS", "nextPageToken": first["nextPageToken"]}).status_code == 400


@pytest.mark.parametrize("jql", ["", "order by created"])
def test_an_unbounded_query_is_refused(api, jql):
    answer = api("GET", "search/jql", params={"jql": jql})
    assert (answer.status_code, answer.json()["errorMessages"][0][:21]) == (400, "Unbounded JQL queries")


@on_server
def test_data_center_searches_by_offset_and_tells_the_total(jira, api):
    keys = [api.create() for _number in range(3)]
    page = api("GET", "search", params={"jql": "order by key", "startAt": 1, "maxResults": 1}).json()
    assert (page["total"], page["startAt"], [each["key"] for each in page["issues"]]) == (3, 1, [keys[1]])
    strict = {"jql": f"key in ({keys[0]}, OPS-99)"}
    assert api("GET", "search", params=strict).json()["errorMessages"] == [
        "An issue with key 'OPS-99' does not exist for the field 'key'."
    ]
    assert api("GET", "search", params={**strict, "validateQuery": "false"}).json()["total"] == 1
    assert api("POST", "search", {"jql": "project = OPS", "fields": ["status"], "maxResults": 2}).json()["total"] == 3


@pytest.mark.parametrize(("jql", "found"), [
    ('labels = "fx-1"', ["OPS-1"]),
    ("labels in (fx-1, fx-2)", ["OPS-2", "OPS-1"]),
    ("labels in (fx-1, fx-2) ORDER BY key", ["OPS-1", "OPS-2"]),
    ("labels != fx-1", ["OPS-2"]),
    ("project = SEC", ["SEC-1"]),
    ("project = 10000 and labels = FX-2", ["OPS-2"]),
    ("updated >= -30m", ["OPS-2"]),
    ("updated < -30m AND project in (OPS, SEC) order by updated asc, key", ["OPS-1", "SEC-1"]),
    ("key in (OPS-1, SEC-1)", ["SEC-1", "OPS-1"]),
    ("id in (10001)", ["OPS-1"]),
    ("statusCategory = Done", ["OPS-2"]),
    ('status != "Done" AND created >= 2026-11-26', ["SEC-1", "OPS-1"]),
])  # fmt: skip
def test_what_jql_finds(jira, api, jql, found):
    api.create(labels=["fx-1"])
    api.create(labels=["fx-2"])
    api.create(project={"key": "SEC"})
    jira.clock.pass_(3600)
    jira.person().transition("OPS-2", "Done")
    assert api.keys(jql) == found


@pytest.mark.parametrize(("jql", "said"), [
    ("colour = red", "Field 'colour' does not exist"),
    ("project = NONE", "The value 'NONE' does not exist for the field 'project'."),
    ("key = OPS-99", "An issue with key 'OPS-99' does not exist for the field 'key'."),
    ("id = 99", "A value with ID '99' does not exist for the field 'id'."),
    ("labels = a OR labels = b", "Error in the JQL Query"),
    ("labels =", "Error in the JQL Query"),
    ("labels in (a", "Error in the JQL Query"),
    ("labels > a", "The operator '>' is not supported by the 'labels' field."),
    ("updated >= soon", "Date value 'soon'"),
])  # fmt: skip
def test_what_jql_refuses(api, jql, said):
    api.create()
    answer = api("GET", "search/jql", params={"jql": jql})
    assert answer.status_code == 400
    assert answer.json()["errorMessages"][0].startswith(said)


def test_the_index_lags_and_can_be_reconciled(jira, api):
    jira.lag = 60
    key = api.create(labels=["fx"])
    number = jira.only()["id"]
    assert api.keys("labels = fx") == []
    assert api.keys("labels = fx", reconcileIssues=number) == [key]

    jira.clock.pass_(60)
    assert api.keys("labels = fx") == [key]
    jira.person().remove_label(key, "fx")
    assert api.keys("labels = fx") == [key]
    assert api.keys("labels = fx", reconcileIssues=number) == []
    assert api("GET", f"issue/{key}").json()["fields"]["labels"] == []


# --- the workflow -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("jira", "steps"), [
    ({"workflow": "simple"}, ["Done"]),
    ({"workflow": "no resolution"}, ["Done"]),
    ({"workflow": "strict"}, ["In Progress", "In Review", "Closed"]),
    ({"workflow": "german"}, ["In Arbeit", "Erledigt"]),
], indirect=["jira"])  # fmt: skip
def test_the_way_to_done(jira, api, steps):
    key = api.create()
    for step in steps:
        assert jira.category(jira.only()) != "done"
        assert api.go(key, step).status_code == 204
    assert jira.category(jira.only()) == "done"
    assert jira.only()["steps"] == steps


@pytest.mark.parametrize("jira", [{"workflow": "dead end"}], indirect=True)
def test_a_workflow_can_have_no_way_to_done(jira, api):
    key = api.create()
    for step in ("Waiting", "Open"):
        ways = api("GET", f"issue/{key}/transitions").json()["transitions"]
        assert "done" not in {way["to"]["statusCategory"]["key"] for way in ways}
        api.go(key, step)


@pytest.mark.parametrize(("jira", "closed", "reopened"), [
    ({"workflow": "simple"}, "Done", None),
    ({"workflow": "no resolution"}, None, None),
    ({"resolution": "optional"}, None, None),
    ({"resolution": "kept"}, "Done", "Done"),
], indirect=["jira"])  # fmt: skip
def test_what_becomes_of_the_resolution(jira, api, closed, reopened):
    key = api.create()
    api.go(key, "Done")
    assert jira.only()["resolution"] == closed
    api.go(key, "To Do")
    assert jira.only()["resolution"] == reopened


@pytest.mark.parametrize("jira", [{"workflow": "resolution required"}], indirect=True)
def test_a_screen_can_require_a_resolution(jira, api):
    key = api.create()
    assert api.go(key, "Done").json()["errors"] == {"resolution": "Resolution is required."}
    way = api("GET", f"issue/{key}/transitions", params={"expand": "transitions.fields"}).json()["transitions"][1]
    chosen = way["fields"]["resolution"]["allowedValues"][1]
    assert api.go(key, "Done", fields={"resolution": {"id": chosen["id"]}}).status_code == 204
    assert jira.only()["resolution"] == chosen["name"] == "Won't Do"


def test_a_transition_that_is_not_to_be_had_is_illegal(jira, api):
    key = api.create()
    answer = api("POST", f"issue/{key}/transitions", {"transition": {"id": "999"}})
    assert answer.json()["errorMessages"][0].startswith("It seems that you have tried to perform an illegal workflow operation")
    assert "fields" not in api("GET", f"issue/{key}/transitions").json()["transitions"][0]


# --- what hangs on an issue ---------------------------------------------------------------------------------------------------


@on_both
def test_comments_come_back_in_the_order_asked_for(jira):
    client = package(jira)
    key = client.create_issue(fields=TASK, prefetch=False).key
    for text in ("first", "second"):
        client.add_comment(key, text)
    newest = client._get_json(f"issue/{key}/comment", params={"orderBy": "-created", "maxResults": 1})
    assert ([each["body"] for each in newest["comments"]], newest["total"]) == (["second"], 2)


def test_a_comment_has_the_form_of_its_version(jira, api):
    key = api.create()
    assert api("POST", f"issue/{key}/comment", {"body": "text"}, version=3).json()["errors"] == {
        "comment": "Comment body is not valid!"
    }
    assert api("POST", f"issue/{key}/comment", {"body": "x" * 32_768}).status_code == 400
    api("POST", f"issue/{key}/comment", {"body": "text"})
    assert api("GET", f"issue/{key}/comment", version=3).json()["comments"][0]["body"]["type"] == "doc"


@on_both
def test_attachments_arrive_whole(jira, tmp_path):
    client = package(jira)
    key = client.create_issue(fields=TASK, prefetch=False).key
    (tmp_path / "é.bin").write_bytes(data := bytes(range(256)) + b"\r\n--\r\n")
    client.add_attachment(key, str(tmp_path / "é.bin"))
    assert jira.only()["attachments"] == [("é.bin", data)]
    assert client.issue(key).fields.attachment[0].size == len(data)


def test_attachments_need_their_header_and_have_a_limit(jira, api):
    key, files = api.create(), {"file": ("a.csv", b"a;b" * 10)}
    assert api("POST", f"issue/{key}/attachments", files=files).status_code == 403
    jira.largest_attachment = 20
    assert api("POST", f"issue/{key}/attachments", files=files, headers={"X-Atlassian-Token": "no-check"}).status_code == 413
    assert jira.only()["attachments"] == []


def test_an_attachment_said_to_be_json_is_refused(crooked):
    api = Api(crooked)
    headers = {"X-Atlassian-Token": "no-check", "Content-Type": "application/json"}
    answer = api("POST", f"issue/{api.create()}/attachments", files={"file": ("a.csv", b"a")}, headers=headers)
    assert answer.status_code == 415
    assert crooked.violations == ["POST /rest/api/2/issue/OPS-1/attachments: it takes multipart/form-data, not application/json"]


def test_a_remote_link_with_the_same_global_id_is_replaced(jira, api):
    key = api.create()
    statuses = [
        api("POST", f"issue/{key}/remotelink", {"globalId": name, "object": {"url": url, "title": "CSPM"}}).status_code
        for name, url in (("a", "http://one"), ("a", "http://two"), ("b", "http://three"))
    ]  # fmt: skip
    assert statuses == [201, 200, 201]
    assert jira.only()["links"] == {"a": "http://two", "b": "http://three"}
    assert len(api("GET", f"issue/{key}/remotelink").json()) == 2
    assert api("GET", f"issue/{key}/remotelink", params={"globalId": "a"}).json()["object"]["url"] == "http://two"


def test_properties_are_put_read_and_taken_away(jira, api):
    path = f"issue/{api.create()}/properties/cspm"
    assert [api("PUT", path, {"n": number}).status_code for number in (1, 2)] == [201, 200]
    assert api("GET", path).json()["value"] == {"n": 2}
    assert [each["key"] for each in api("GET", path.rpartition("/")[0]).json()["keys"]] == ["cspm"]
    assert api("PUT", path, "x" * 32_769).status_code == 400
    assert [api("DELETE", path).status_code, api("GET", path).status_code] == [204, 404]


def test_twins_can_be_linked(jira, api):
    twin, kept = api.create(), api.create()
    names = [each["name"] for each in api("GET", "issueLinkType").json()["issueLinkTypes"]]
    body = {"type": {"name": "Duplicate"}, "inwardIssue": {"key": twin}, "outwardIssue": {"key": kept}}
    assert "Duplicate" in names
    assert api("POST", "issueLink", body).status_code == 201
    assert jira.issue(twin)["twins"] == [kept]
    (link,) = api("GET", f"issue/{twin}").json()["fields"]["issuelinks"]
    assert link["outwardIssue"]["key"] == kept
    assert api("POST", "issueLink", {**body, "type": {"name": "Twin"}}).status_code == 404


# --- people, projects, rights -------------------------------------------------------------------------------------------------


def test_two_alices_are_two_hits_and_one_hides_her_address(jira, api):
    found = api("GET", "user/assignable/search", params={"project": "OPS", "query": "alice"}).json()
    assert [(each["displayName"], each.get("emailAddress")) for each in found] == [
        ("Alice Martin", "alice@acme.example"), ("Alice Moreau", None),
    ]  # fmt: skip
    assert api("GET", "user/assignable/search", params={"query": "alice"}).status_code == 400
    key = api.create()
    assert api("PUT", f"issue/{key}/assignee", {"accountId": found[0]["accountId"]}).status_code == 204
    assert api("GET", f"issue/{key}").json()["fields"]["assignee"]["displayName"] == "Alice Martin"


@on_server
def test_data_center_knows_people_by_name(jira, api):
    (bob,) = api("GET", "user/assignable/search", params={"project": "OPS", "username": "bob"}).json()
    key = api.create(assignee={"name": bob["name"]})
    assert "accountId" not in bob
    assert api("GET", f"issue/{key}").json()["fields"]["assignee"]["name"] == "bob"


@on_both
def test_the_server_says_what_it_is(jira, api):
    about, me = api("GET", "serverInfo").json(), api("GET", "myself").json()
    assert about["deploymentType"] == ("Cloud" if jira.cloud else "Server")
    assert me["displayName"] == "CSPM bot"
    assert ("accountId" in me) == jira.cloud


@on_both
def test_projects_statuses_and_choices(jira, api):
    assert [each["key"] for each in api("GET", "project").json()] == ["OPS", "SEC"]
    assert [each["name"] for each in api("GET", "project/10000").json()["issueTypes"]] == ["Task", "Bug"]
    assert [each["name"] for each in api("GET", "project/OPS/statuses").json()[0]["statuses"]] == ["To Do", "In Progress", "Done"]
    assert [each["name"] for each in api("GET", "priority").json()] == ["Highest", "High", "Medium", "Low", "Lowest"]
    assert [each["name"] for each in api("GET", "resolution").json()][:2] == ["Done", "Won't Do"]
    assert api("GET", "project/NONE").status_code == 404


def test_projects_come_in_pages_on_cloud(api):
    page = api("GET", "project/search", params={"query": "sec", "maxResults": 1}).json()
    assert ([each["key"] for each in page["values"]], page["total"], page["isLast"]) == (["SEC"], 1, True)


def test_a_permission_that_is_missing_is_told_and_missed(jira, api):
    key = api.create()
    jira.denied = {"ADD_COMMENTS", "TRANSITION_ISSUES"}
    told = api("GET", "mypermissions", params={"projectKey": "OPS", "permissions": "ADD_COMMENTS,EDIT_ISSUES"}).json()[
        "permissions"
    ]
    assert [told["ADD_COMMENTS"]["havePermission"], told["EDIT_ISSUES"]["havePermission"]] == [False, True]
    assert api("POST", f"issue/{key}/comment", {"body": "x"}).status_code == 403
    assert api("GET", f"issue/{key}/transitions").json()["transitions"] == []


@on_both
def test_a_wrong_token_is_nobodys(jira, api):
    api.session.headers.pop("Authorization", None)
    api.session.auth = (jira.email, "wrong")
    assert api("GET", "myself").status_code == 401


def test_an_expired_token_is_refused(jira, api):
    key = api.create()
    jira.signed_in = False
    assert [api("GET", path).status_code for path in (f"issue/{key}", "myself")] == [401, 401]


def test_an_expired_token_can_also_make_one_anonymous(jira, api):
    key = api.create(labels=["fx"])
    jira.signed_in, jira.anonymous = False, True
    assert [api("GET", path).status_code for path in (f"issue/{key}", "myself", "serverInfo")] == [404, 401, 200]
    # Nothing found does not mean that nothing is there.
    assert api.keys("labels = fx") == []
    assert api("POST", "issue/bulkfetch", {"issueIdsOrKeys": [key]}).json()["issues"] == []
    assert api("POST", "issue", {"fields": TASK}).status_code == 404


# --- limits -------------------------------------------------------------------------------------------------------------------


def test_more_writes_than_allowed_are_told_to_wait(jira, api):
    jira.per_second, jira.retry_after = 2, "5"
    key = api.create()
    api.create()
    answer = api("POST", "issue", {"fields": TASK})
    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["RateLimit-Reason"]) == (
        429,
        "5",
        "jira-burst-based",
    )
    assert (len(jira.issues), jira.disobeyed) == (2, 0)

    api("GET", f"issue/{key}")
    assert jira.disobeyed == 1
    jira.clock.pass_(5)
    api.create()
    assert jira.disobeyed == 1


@pytest.mark.parametrize(("said", "seconds"), [("7", 7), ("1847", 1847), ("date:90", 90), ("reset:90", 120), (None, 1)])
def test_how_long_to_wait_is_said_in_many_ways(jira, api, said, seconds):
    jira.per_second, jira.retry_after = 1, said
    api.create()
    headers = api("POST", "issue", {"fields": TASK}).headers
    after, reset = headers.get("Retry-After"), headers.get("X-RateLimit-Reset")

    if after and not after.isdecimal():
        assert parsedate_to_datetime(after).timestamp() == NOON + 90
    else:
        assert after == (said if said in ("7", "1847") else None)
    assert reset == ("2026-11-26T12:02Z" if said == "reset:90" else None)
    assert jira.closed_until == NOON + seconds


def test_an_issue_takes_twenty_writes_in_two_seconds(jira, api):
    key, other = api.create(), api.create()
    statuses = [api("POST", f"issue/{key}/comment", {"body": "x"}).status_code for _number in range(21)]
    assert statuses == [201] * 20 + [429]
    assert api("POST", f"issue/{other}/comment", {"body": "x"}).status_code == 201
    refused = api("PUT", f"issue/{key}", {"fields": {"summary": "x"}})
    assert (refused.headers["RateLimit-Reason"], jira.disobeyed) == ("jira-per-issue-on-write", 1)
    jira.clock.pass_(3)
    assert api("POST", f"issue/{key}/comment", {"body": "x"}).status_code == 201


# --- failures -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fails"), [
    ("drop", requests.ConnectionError), ("truncate", requests.exceptions.ChunkedEncodingError),
    ("cut", requests.exceptions.JSONDecodeError), ("html", requests.exceptions.JSONDecodeError),
])  # fmt: skip
@pytest.mark.parametrize("after", [True, False])
def test_an_answer_is_lost_before_or_after_the_deed(jira, api, kind, fails, after):
    jira.fault(kind, "POST", r"/issue$", after=after)
    with pytest.raises(fails):
        api("POST", "issue", {"fields": TASK}).json()["key"]
    assert len(jira.issues) == after
    assert api.create()


def test_an_answer_never_comes(jira, api):
    jira.fault("hang", "POST", r"/issue$", seconds=0.4)
    began = time.monotonic()
    with pytest.raises(requests.Timeout):
        api.session.post(f"{jira.url}/rest/api/2/issue", json={"fields": TASK}, timeout=0.2)
    assert api("GET", "myself").status_code == 200  # the others are served meanwhile
    assert time.monotonic() - began < 0.4
    assert len(jira.issues) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 413, 429])
def test_a_status_comes_as_often_as_asked(jira, api, status):
    jira.fault(status, "POST", r"/issue$", times=2, after=False)
    assert [api("POST", "issue", {"fields": TASK}).status_code for _time in range(3)] == [status, status, 201]
    assert [line[2] for line in jira.log] == [status, status, 201]


@pytest.mark.parametrize(("said", "header"), [(30, "30"), ("date:30", "Thu, 26 Nov 2026 12:00:30 GMT"), (None, None)])
def test_a_503_says_when_to_come_again_or_does_not(jira, api, said, header):
    jira.fault(503, retry_after=said)
    assert api("GET", "myself").headers.get("Retry-After") == header


def test_a_fault_that_does_not_exist_is_told_at_once(jira):
    with pytest.raises(ValueError, match="a fault is a status or one of"):
        jira.fault("explode")


# --- people, and what webhooks tell of them -------------------------------------------------------------------------------------


class Receiver(Server):
    """Keeps what it is sent, and answers `statuses` in turn, then 200."""

    def __init__(self):
        super().__init__()
        self.heard, self.statuses = [], []

    def answer(self, request):
        self.heard.append((dict(request.headers), request.raw))
        return Answer(self.statuses.pop(0) if self.statuses else 200)

    def events(self):
        return [json.loads(raw)["webhookEvent"] for _headers, raw in self.heard]


@pytest.fixture
def receiver():
    with Receiver() as server:
        yield server


@pytest.fixture
def hooked(jira, api, receiver):
    """The key of an issue, of which the receiver will hear what happens from now on."""
    key = api.create(labels=["fx", "other"])
    jira.webhook(receiver.address, SECRET)
    return key


@pytest.mark.parametrize(("act", "kind", "left"), [
    (lambda ana, key: ana.transition(key, "In Progress"), "issue_generic", {"status": "In Progress"}),
    (lambda ana, key: ana.resolve(key), "issue_generic", {"status": "Done", "resolution": "Won't Do"}),
    (lambda ana, key: ana.move(key, "SEC"), "issue_moved", {"key": "SEC-1", "project": "SEC"}),
    (lambda ana, key: ana.comment(key, "why?"), "issue_commented", {}),
    (lambda ana, key: ana.edit(key, priority={"id": "1"}), "issue_updated", {}),
    (lambda ana, key: ana.remove_label(key, "fx"), "issue_updated", {}),
])  # fmt: skip
def test_what_a_person_does_is_told(jira, receiver, hooked, act, kind, left):
    act(jira.person("Ana Human"), hooked)
    assert jira.deliver() == [200]
    told = json.loads(receiver.heard[0][1])

    assert (told["webhookEvent"], told["issue_event_type_name"], told["user"]["displayName"]) == (
        "jira:issue_updated",
        kind,
        "Ana Human",
    )
    assert (told["issue"]["id"], told["timestamp"]) == ("10001", int(NOON * 1000))
    assert {name: jira.only()[name] for name in left} == left


def test_a_deletion_is_told(jira, receiver, hooked):
    jira.person().delete(hooked)
    jira.deliver()
    assert receiver.events() == ["jira:issue_deleted"]


def test_the_changelog_says_from_what_to_what(jira, receiver, hooked):
    jira.person().resolve(hooked, "Won't Do")
    jira.deliver()
    items = json.loads(receiver.heard[0][1])["changelog"]["items"]
    assert [(each["field"], each["fromString"], each["toString"]) for each in items] == [
        ("status", "To Do", "Done"), ("resolution", None, "Won't Do"),
    ]  # fmt: skip


def test_what_we_do_ourselves_is_told_as_ours(jira, api, receiver, hooked):
    api.create()
    api.go(hooked, "Done")
    jira.deliver()
    assert receiver.events() == ["jira:issue_created", "jira:issue_updated"]
    assert {json.loads(raw)["user"]["accountId"] for _headers, raw in receiver.heard} == {
        api("GET", "myself").json()["accountId"]
    }


def test_deliveries_are_signed_and_named(jira, receiver, hooked):
    jira.person().comment(hooked, "ünïcode 🔥")
    jira.deliver(replay=1)
    (first, raw), (second, _raw) = receiver.heard
    assert first["X-Hub-Signature"] == "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    assert first["X-Atlassian-Webhook-Flow"] == "Primary"
    names = ("X-Atlassian-Webhook-Identifier", "X-Atlassian-Webhook-Retry")
    assert [[headers.get(name) for name in names] for headers in (first, second)] == [["webhook-1", None], ["webhook-1", "1"]]


def test_deliveries_get_lost_and_come_in_any_order(jira, receiver, hooked):
    for status in ("In Progress", "Done", "To Do"):
        jira.person().transition(hooked, status)
    jira.deliver(order="reversed", drop=[1])
    assert [json.loads(raw)["issue"]["fields"]["status"]["name"] for _headers, raw in receiver.heard] == ["To Do", "In Progress"]
    assert jira.deliver() == []


@pytest.mark.parametrize("forge", ["signature", "unsigned", "sha1", "body", "the secret of someone else"])
def test_forged_deliveries_do_not_fit_their_signature(jira, receiver, hooked, forge):
    jira.person().transition(hooked, "Done")
    jira.deliver(forge=forge)
    ((headers, raw),) = receiver.heard
    assert headers.get("X-Hub-Signature") != "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()


def test_jira_tries_again_five_times_what_was_not_taken(jira, receiver, hooked):
    jira.person().transition(hooked, "Done")
    receiver.statuses = [503] * 10
    assert [jira.deliver() for _time in range(7)] == [[503]] * 6 + [[]]
    assert jira.deliveries[0].state == "given up"


def test_jira_does_not_repeat_what_was_refused(jira, receiver, hooked):
    jira.person().transition(hooked, "Done")
    receiver.statuses = [401]
    assert [jira.deliver(), jira.deliver()] == [[401], []]


@on_server
def test_data_center_tries_once(jira, receiver, hooked):
    jira.person().transition(hooked, "Done")
    receiver.statuses = [503]
    assert [jira.deliver(), jira.deliver()] == [[503], []]


def test_deliveries_can_go_at_once(jira, api, receiver):
    jira.webhook(receiver.address, SECRET, at_once=True)
    api.create()
    jira.settle()
    assert receiver.events() == ["jira:issue_created"]


# --- what should not be asked, and control from outside -----------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), [
    ("GET", "wonders", None, 405, "no such operation"),
    ("GET", "myself?colour=red", None, 200, "there is no parameter colour"),
    ("GET", "project/search?maxResults=all", None, 400, "maxResults: 'all' is not a number"),
    ("POST", "issue", {"fields": TASK, "notify": True}, 400, "('notify' was unexpected)"),
    ("PUT", "issue/OPS-1", {"update": {"labels": ["fx"]}}, 400, "'fx' is not of type 'object'"),
    ("POST", "issue/OPS-1/transitions", {"transition": {"id": 21}}, 204, "a transition's id is a string"),
    ("POST", "issue/OPS-1/remotelink", {"object": {"url": "http://one"}}, 400, "'title' is a required property"),
])  # fmt: skip
def test_what_is_not_in_the_description_is_a_violation(crooked, method, path, body, status, said):
    api = Api(crooked)
    api.create()
    answer = api(method, path, body)
    (violation,) = crooked.violations
    assert said in violation
    assert answer.status_code == status


def test_the_stand_ins_own_answers_are_looked_at_too(crooked):
    crooked.bot["name"] = 7
    Api(crooked)("GET", "myself")
    assert crooked.violations == ["GET /rest/api/2/myself -> 200: $.displayName: 7 is not of type 'string'"]


def test_a_hole_in_the_stand_in_is_a_violation(crooked):
    crooked.bot.pop("name")
    assert Api(crooked)("GET", "myself").status_code == 500
    assert "the stand-in broke" in crooked.violations[0]


def test_the_log_holds_no_secret(jira, api):
    api("GET", "myself")
    (request,) = jira.requests
    assert (request["method"], request["path"], request["status"], request["at"]) == ("GET", "/rest/api/2/myself", 200, NOON)
    assert "Authorization" not in request["headers"]
    assert TOKEN not in str(request)


def test_a_process_outside_steers_it(jira, api):
    control = f"{jira.url}/__control__/"
    api.create()
    files = {"file": ("a.csv", b"abc")}
    api("POST", "issue/OPS-1/attachments", files=files, headers={"X-Atlassian-Token": "no-check"})
    assert requests.post(control + "fault", json={"kind": 503, "path": "myself"}, timeout=2).status_code == 201
    assert requests.post(control + "fault", json={"kind": "explode"}, timeout=2).status_code == 400
    assert [api("GET", "myself").status_code for _time in range(2)] == [503, 200]

    told = {name: requests.get(control + name, timeout=2).json() for name in ("violations", "issues", "requests")}
    assert told["violations"] == []
    assert (told["issues"][0]["key"], told["issues"][0]["attachments"]) == ("OPS-1", [["a.csv", {"bytes": 3}]])
    assert [each["status"] for each in told["requests"]] == [201, 200, 503, 200]


def test_it_runs_alone():
    command = [sys.executable, "-m", "tests.servers.jira", "--deployment", "Server", "--project", "WEB"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address, _who, token = process.stdout.readline().split()
        answer = requests.get(f"{address}/rest/api/2/project", headers={"Authorization": f"Bearer {token}"}, timeout=2)
        process.terminate()
    assert [each["key"] for each in answer.json()] == ["WEB"]
