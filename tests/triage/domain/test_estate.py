"""Environment and criticality, in the spellings that people use."""

import pytest

from triage.domain import estate
from triage.models import Criticality


@pytest.mark.parametrize(
    ("value", "environment"),
    [
        ("prod", "prod"), ("Production", "prod"), ("PRD", "prod"), ("live", "prod"), ("prod-eu", "prod"), ("prod2", "prod"),
        ("preprod", "preprod"), ("Pre-Production", "preprod"), ("pre prod", "preprod"), ("staging", "preprod"), ("stage", "preprod"),
        ("UAT", "preprod"), ("Recette", "preprod"), ("qualif", "preprod"), ("qualification", "preprod"),
        ("dev", "dev"), ("Development", "dev"), ("Développement", "dev"), ("dev-3", "dev"),
        ("test", "test"), ("QA", "test"), ("sandbox", "test"), ("Bac à sable", "test"), ("bac-a-sable", "test"),
        ("product", ""), ("blue", ""), ("", ""), ("42", ""),
    ],
)  # fmt: skip
def test_a_value_means_an_environment(value, environment):
    assert estate.environment_of((("Environment", value),)) == environment


@pytest.mark.parametrize("value", ["non-prod", "NonProd", "hors prod", "hors-production", "nprd"])
def test_what_is_not_production_is_never_production(value):
    assert estate.environment_of((("env", value),)) == "preprod"


def test_the_strictest_word_of_a_value_counts():
    assert estate.environment_of((("env", "dev, prod"),)) == "prod"
    assert estate.environment_of((("env", "non-prod (dev)"),)) == "dev"


@pytest.mark.parametrize(
    "key", ["env", "Environment", "ENVIRONNEMENT", "acme:env", "app.kubernetes.io/environment", "deployment_stage"]
)
def test_keys_are_read_in_any_spelling(key):
    assert estate.environment_of(((key, "prod"),)) == "prod"


def test_a_tag_beats_the_account_and_the_account_beats_nothing():
    assert estate.environment_of((("env", "dev"),), "prod") == "dev"
    assert estate.environment_of((("env", "blue"),), "prod") == "prod"
    assert estate.environment_of((), "prod") == "prod"
    assert estate.environment_of(()) == ""


def test_a_kms_key_has_its_pairs_put_together():
    assert estate.environment_of((("TagKey", "env"), ("TagValue", "prod"))) == "prod"


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("acme-shop-prod", "prod"),
        ("acme nonprod", "preprod"),
        ("shop-dev", "dev"),
        ("product-catalog", ""),
        ("int-tools", ""),
        ("live-events", ""),
    ],
)
def test_names_of_accounts_give_an_environment_away_only_by_whole_words(name, environment):
    assert estate.environment_in_name(name) == environment


@pytest.mark.parametrize(
    ("key", "value", "criticality"),
    [
        ("criticality", "high", Criticality.HIGH), ("Criticité", "Élevée", Criticality.HIGH), ("business-criticality", "Mission Critical", Criticality.VITAL),
        ("criticality", "faible", Criticality.LOW), ("tier", "1", Criticality.VITAL), ("tier", "tier-3", Criticality.MEDIUM),
        ("critical", "true", Criticality.VITAL), ("critical", "false", Criticality.UNKNOWN),
        ("criticality", "1", Criticality.UNKNOWN), ("colour", "high", Criticality.UNKNOWN),
    ],
)  # fmt: skip
def test_a_value_means_a_criticality(key, value, criticality):
    assert estate.criticality_of(((key, value),)) == criticality


def test_an_asset_that_says_nothing_is_as_critical_as_its_account():
    assert estate.criticality_of((("criticality", "?"),), Criticality.HIGH) == Criticality.HIGH


def test_the_answers_are_plain_values_that_copy_can_write():
    assert type(estate.environment_of((("env", "prod"),))) is str
    assert type(estate.criticality_of((("tier", "1"),))) is int
