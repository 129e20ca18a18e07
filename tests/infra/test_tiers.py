"""Machine types: which there are, of which edition, with how many connections."""

import pytest

from infra.tiers import PLUS_MB, tier_of


@pytest.mark.parametrize(
    ("name", "edition", "connections"),
    [
        ("db-f1-micro", "ENTERPRISE", 25),
        ("db-g1-small", "ENTERPRISE", 50),
        ("db-custom-1-3840", "ENTERPRISE", 100),
        ("db-custom-2-5888", "ENTERPRISE", 100),
        ("db-custom-1-6144", "ENTERPRISE", 200),
        ("db-custom-2-7680", "ENTERPRISE", 400),
        ("db-custom-4-15104", "ENTERPRISE", 400),
        ("db-custom-4-15360", "ENTERPRISE", 500),
        ("db-custom-8-30720", "ENTERPRISE", 600),
        ("db-custom-16-61440", "ENTERPRISE", 800),
        ("db-custom-32-122880", "ENTERPRISE", 1000),
        ("db-custom-96-638976", "ENTERPRISE", 1000),
        ("db-perf-optimized-N-2", "ENTERPRISE_PLUS", 500),
        ("db-perf-optimized-N-128", "ENTERPRISE_PLUS", 1000),
        ("db-c4a-highmem-4", "ENTERPRISE_PLUS", 600),
    ],
)
def test_a_tier_has_an_edition_and_connections(name: str, edition: str, connections: int) -> None:
    tier = tier_of(name)
    assert (tier.edition, tier.max_connections) == (edition, connections)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("db-custom-3-11520", "CPUs are 1 or an even number up to 96; write db-custom-4-15360"),
        ("db-custom-98-368640", "CPUs are 1 or an even number up to 96; write db-custom-96-368640"),
        ("db-custom-0-3840", "CPUs are 1 or an even number up to 96; write db-custom-1-3840"),
        ("db-custom-1-3584", "1 CPUs have 3840 to 6656 MB, in steps of 256; write db-custom-1-3840"),
        ("db-custom-8-4096", "8 CPUs have 7376 to 53248 MB, in steps of 256; write db-custom-8-30720"),
        ("db-custom-2-7681", "2 CPUs have 3840 to 13312 MB, in steps of 256; write db-custom-2-7680"),
        ("db-custom-2-13568", "2 CPUs have 3840 to 13312 MB, in steps of 256; write db-custom-2-7680"),
        ("db-perf-optimized-N-3", "did you mean 'db-perf-optimized-N-"),
        ("db-n1-standard-1", "there are "),
        ("", "there are "),
    ],
)
def test_a_tier_that_is_none_is_refused(name: str, instead: str) -> None:
    with pytest.raises(ValueError, match="there is no tier") as caught:
        tier_of(name)
    assert instead in str(caught.value)


def test_tiers_are_told_apart_by_edition() -> None:
    assert {tier_of(name).edition for name in PLUS_MB} == {"ENTERPRISE_PLUS"}
