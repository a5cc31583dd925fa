"""What gives access is not kept, however it is nested and written; what proves something stays as it was."""

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.domain.cleansing import MASK, clean, gives_access

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzEXAM"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def_ghi"
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nMIIEowX\n-----END OPENSSH PRIVATE KEY-----"
B64 = base64.b64encode


def told(value):
    return json.dumps(clean(value), ensure_ascii=False, default=str)


@pytest.mark.parametrize(
    "name",
    [
        "Password", "MasterUserPassword", "db_password", "DB_PASS", "dbPass", "PASSWORD2", "SecretAccessKey", "secret", "clientSecret",
        "SecretString", "SessionToken", "x-amz-security-token", "X-Api-Key", "Authorization", "proxy-authorization", "Set-Cookie",
        "Ｐａｓｓｗｏｒｄ", "privateKey", "KeyMaterial", "UserData", "AccountKey", "refresh_token", "Base32StringSeed", "Signature",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "value", ["hunter2", 123456, ["hunter2"], {"Value": "hunter2"}, b"hunter2", {"a": [{"b": ("hunter2",)}]}]
)
def test_a_value_under_a_name_that_says_so_is_taken_out(name, value):
    kept = told({"outer": [{name: value}]})

    assert "hunter2" not in kept
    assert "123456" not in kept
    assert MASK in kept


@pytest.mark.parametrize(
    "value",
    [
        {"MinimumPasswordLength": 8, "PasswordReusePrevention": 24, "RequireSymbols": True},
        {"AllowUsersToChangePassword": True, "HasPassword": False, "Password": None},
        {"PasswordLastUsed": "2026-11-20", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Active"},
        {"NextToken": "AAAA", "ClientToken": "b", "KeyId": "1234", "PublicKey": "ssh-rsa AAAAB3NzaC1yc2E"},
        {"SecretList": [{"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf", "Name": "prod/db"}]},
        {"secrets": [{"name": "DB", "valueFrom": "arn:aws:ssm:eu-west-1:123456789012:parameter/db"}]},
        {"Policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*"}]}'},
        {"Tags": [{"Key": "Environment", "Value": "prod"}, {"Key": "Owner", "Value": "web"}], "Environment": "prod"},
        {"Url": "https://s3.eu-west-1.amazonaws.com:443/acme/x@y?versionId=1", "Endpoint": "http://127.0.0.1:5000/a@b"},
        {"Revision": "AKIAIOSFODNN7EXAMPLE at da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"Text": "The password policy asks for 14 characters. secret: ${VAULT}, api_key: <redacted>, token: null"},
        {"Resolve": "password: {{resolve:secretsmanager:prod}}", "Bypass": "bypass: allowed"},
        {"Certificate": "-----BEGIN CERTIFICATE-----\nMIIEow==\n-----END CERTIFICATE-----"},
        {"Etag": "d41d8cd98f00b204e9800998ecf8427e", "Id": "Z2FyYmFnZSB0aGF0IHNheXMgbm90aGluZw=="},
    ],
)  # fmt: skip
def test_what_proves_something_stays_to_the_letter(value):
    assert clean(value) == value


@pytest.mark.parametrize(
    "value",
    [
        {"Environment": {"Variables": {"MODE": "hunter2", "STAGE": "hunter2"}}},
        {"containerDefinitions": [{"environment": [{"name": "MODE", "value": "hunter2"}]}]},
        {"environmentVariables": [{"name": "MODE", "value": "hunter2", "type": "PLAINTEXT"}]},
        {"Config": {"Env": ["MODE=hunter2"]}},
        {"variables": {"url": "hunter2"}},
        {"Parameters": [{"ParameterKey": "DbPassword", "ParameterValue": "hunter2"}]},
        {"Tags": [{"Key": "api_key", "Value": "hunter2"}]},
        {"OptionSettings": [{"OptionName": "DBPassword", "Value": "hunter2"}]},
        {"UserData": {"Value": B64(b"#!/bin/sh\nmysql -phunter2").decode()}},
        {"headers": [["Authorization", "hunter2"], ["X-Api-Key", "hunter2"]]},
        {"passwords": ["hunter2"], "apiKeys": "hunter2"},
    ],
)  # fmt: skip
def test_environments_pairs_and_headers(value):
    kept = told(value)

    assert "hunter2" not in kept
    assert B64(b"#!/bin/sh\nmysql -phunter2").decode() not in kept
    for name in ("MODE", "DbPassword", "DBPassword", "api_key", "Authorization"):
        assert (name in kept) == (name in json.dumps(value))


TEXTS = [
    "password=hunter2", "Password = 'hun ter2'", 'aws_secret_access_key: "hunter2"', "Server=db;User=sa;Pwd=hunter2;Encrypt=yes",
    "postgres://app:hunter2@db:5432/x", "redis://:hunter2@cache", "mongodb+srv://app:p@ss/hunter2@cluster/db",
    "jdbc:mysql://db/x?user=a&password=hunter2&ssl=1", "Authorization: Bearer hunter2hunter2", "authorization: Basic aHVudGVyMg==hunter2",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/x, SignedHeaders=host, Signature=hunter2",
    "Cookie: session=hunter2", "https://x.s3.amazonaws.com/k?X-Amz-Signature=hunter2&X-Amz-Expires=60",
    "https://x.s3.amazonaws.com/k?X-Amz-Security-Token=hunter2%2F&X-Amz-Expires=60", "https://b.blob.core.windows.net/c?sv=1&sig=hunter2",
    "https://storage.googleapis.com/b?X-Goog-Signature=hunter2", "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=hunter2&Expires=1",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;", "mysql --password hunter2 -u root", "curl -H 'x-api-key: hunter2'",
    "<Password>hunter2</Password>", "<ns:ApiKey type='x'>hunter2</ns:ApiKey>", 'log {"password": "hunter2"} end', r'{\"password\": \"hunter2\"',
    '{"a": 1}\n{"password": "hunter2"}', "export DB_PASS=hunter2", "cmd: password=hunter2", 'password = "a\\"hunter2"', "token: $hunter2",
    '"{\\"password\\":\\"hunter2\\"}"', '{"password":"hunter2","password":1}', "password:\thunter2",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "written",
    [
        lambda text: text,
        lambda text: json.dumps({"Policy": text}),
        lambda text: json.dumps(json.dumps({"Policy": [text]})),
        lambda text: quote(json.dumps({"Policy": text})),
        lambda text: B64(text.encode()).decode(),
        lambda text: B64(B64(text.encode())).decode(),
        lambda text: B64(text.encode("utf-16-le")).decode(),
        lambda text: base64.encodebytes((text + " " * 60).encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
        lambda text: text.encode(),
        lambda text: f"see {B64(text.encode()).decode()}, please",
    ],
)
def test_a_secret_in_a_text_is_taken_out_however_it_is_packed(text, written):
    value = written(text)
    kept = clean({"Description": value})["Description"]

    assert "hunter2" not in kept
    assert kept != value
    assert B64(text.encode()).decode()[:16] not in kept or len(text) < 12


@pytest.mark.parametrize(
    "value",
    [
        f"AKIAIOSFODNN7EXAMPLE:{SECRET}", f"AKIAIOSFODNN7EXAMPLE\n{SECRET}\n", f"key ASIAIOSFODNN7EXAMPLE, and its other half {SECRET}.",
        ["AKIAIOSFODNN7EXAMPLE", SECRET], {"id": "AKIAIOSFODNN7EXAMPLE", "half": SECRET}, {"x": JWT}, {"x": f"see {PEM}"},
        {"x": json.dumps(PEM)}, {"x": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"},
        {"x": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nMIIEowX\n-----END PGP PRIVATE KEY BLOCK-----"},
        {JWT: "as a name"},
    ],
)  # fmt: skip
def test_secrets_known_by_their_form(value):
    kept = told(value)

    for secret in (SECRET, "eyJzdWIiOiIxMjM0In0", "MIIEowX", "abcdefghijklmnopqrstuvwxyz"):
        assert secret not in kept


def test_the_id_of_a_key_stays_beside_its_secret():
    assert clean(f"AKIAIOSFODNN7EXAMPLE:{SECRET}") == f"AKIAIOSFODNN7EXAMPLE:{MASK}"


def test_what_cannot_be_read_is_not_kept():
    assert clean(b"\xff\xfe\x00\xd8") == MASK
    assert clean({"Blob": b"\x80\x81"}) == {"Blob": MASK}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_no_hiding_place(opening):
    closing = "]" if opening == "[" else "}"
    for depth in (30, 300, 100_000):
        text = opening * depth + '"password=hunter2"' + closing * depth
        assert "hunter2" not in told({"x": text})
    nested: object = "password=hunter2"
    for _level in range(300):
        nested = [nested]
    assert "hunter2" not in told(nested)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=",
        " ",
        "--a ",
        "<a>",
        '"',
        "\\",
        "AKIAIOSFODNN7EXAMPLE ",
        "x://",
        "x://:",
        'password="',
        "%41",
        "[",
        "password=",
        "<a x='",
    ],
)
def test_long_texts_cost_little(text):
    begun = time.process_time()
    clean(text * (200_000 // len(text)))
    assert time.process_time() - begun < 5


NAMES = st.sampled_from(["Password", "client_secret", "SessionToken", "X-Api-Key", "Authorization", "DB_PASS", "UserData"])
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="•"), max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(WORDS, part, max_size=4),
    max_leaves=12,
)
WRAPPING = st.lists(st.sampled_from(["json", "base64", "percent", "list", "name", "tuple", "bytes"]), max_size=5)


@settings(max_examples=400, deadline=None)
@given(NAMES, PLAIN, WRAPPING)
def test_no_wrapping_hides_a_secret(name, beside, wrapping):
    value: object = {"beside": beside, name: "hunter2-hunter2"}
    for layer in wrapping:
        text = json.dumps(value, default=lambda raw: raw.decode())
        value = {
            "json": lambda text=text: text, "base64": lambda text=text: B64(text.encode()).decode(), "percent": lambda text=text: quote(text),
            "list": lambda value=value: [value], "name": lambda value=value: {"Part": value}, "tuple": lambda value=value: (1, value),
            "bytes": lambda text=text: text.encode(),
        }[layer]()  # fmt: skip
    kept = told(value)

    assert "hunter2" not in kept
    assert B64(b"hunter2-hunter2").decode()[:12] not in kept


@settings(max_examples=400, deadline=None)
@given(PLAIN)
def test_cleaning_twice_changes_nothing_more(value):
    once = clean(value)

    assert clean(once) == once


@given(st.text(max_size=30))
def test_any_name_can_be_asked(name):
    assert gives_access(name) in (True, False)


def test_what_a_check_rests_on_stays():
    answer = {
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "KmsMasterKeyId": "alias/aws/sqs",
        "NextToken": "x",
    }
    assert clean(answer) == answer
