"""Where Cloud SQL is."""

from infra.names import unknown

# Of PostgreSQL, as https://cloud.google.com/sql/docs/postgres/region-availability-overview lists them.
DATED = "2026-11"
_LISTED = """
africa-south1
asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2
asia-southeast1 asia-southeast2 asia-southeast3
australia-southeast1 australia-southeast2
europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west2 europe-west3 europe-west4
europe-west6 europe-west8 europe-west9 europe-west10 europe-west12
me-central1 me-central2 me-west1
northamerica-northeast1 northamerica-northeast2 northamerica-south1
southamerica-east1 southamerica-west1
us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4
"""
REGIONS = frozenset(_LISTED.split())


def check_region(name: str) -> str:
    """See that Cloud SQL is in a region.

    Raises:
        ValueError: it was not when the list was made; says which region is nearest by name.
    """
    if name not in REGIONS:
        message = f"{unknown('region with Cloud SQL', name, REGIONS)} (infra/regions.py, as of {DATED})"
        raise ValueError(message)
    return name
