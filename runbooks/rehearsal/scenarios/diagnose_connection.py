"""diagnose-connection while the application's URL has a password that is no longer the user's."""

from pydantic import SecretStr
from sqlalchemy import make_url

from runbooks.engine import report
from runbooks.engine.findings import Result
from runbooks.engine.records import Ended
from runbooks.engine.report import Verdict
from runbooks.procedures.diagnose_connection import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

WRONG = "not-the-password"


def prepare(stage: Stage) -> Asked:
    """A password is changed where the application reads it, and nowhere else."""
    secret = stage.target.logins[0].secret
    url = make_url(stage.tools.secrets.newest(secret).get_secret_value()).set(password=WRONG)
    stage.tools.secrets.add(secret, SecretStr(url.render_as_string(hide_password=False)))
    return Asked()


def check(stage: Stage, ended: Ended) -> None:
    """It names the password, after all that is well, and what mends it; and tells nobody what it is."""
    faults = [one for one in report.findings_of(ended) if one.result is Result.FAULT]
    user = stage.target.logins[0].users[0]
    stage.expect("one cause is found", holds=len(faults) == 1, found=faults)
    stage.expect("it is the password", holds=faults[0].test == f"The password of {user} is right", found=faults[0])
    mend = "holdfast runbook run rotate-password login=api"
    stage.expect("the command is named", holds=faults[0].action == mend, found=faults[0].action)
    stage.expect("no password is in the report", holds=WRONG not in report.page(ended))


REHEARSAL = Rehearsal(PROCEDURE, prepare, check, Verdict.FAULTS)
