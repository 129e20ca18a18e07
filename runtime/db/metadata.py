"""Every table of the platform, for migrations and checks."""

from runtime.db.base import Base
from runtime.platform import models as platform
from runtime.systems.ard import models as ard
from runtime.systems.utxoiq import models as utxoiq

MODELS = (platform, ard, utxoiq)
metadata = Base.metadata
