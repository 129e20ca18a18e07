"""The checks that are made outside the gate, by name, and what helps when they fail."""

BACKUP = "There is a backup"
EXPECTED = "The source says how its backup has to be"
RESTORED = "The backup can be restored"
RUNNABLE = "The restored instance is RUNNABLE"
CONNECTED = "The restored database can be looked at"
LOGIN = "The application's login connects"
DELETED = "The throwaway instance is deleted"

SET_PASSWORD = "after a restore set its password as the application has it: gcloud sql users set-password"  # noqa: S105  # it is advice
VERIFY_ANOTHER = "verify the one before it; look for the cause in the instance's operations"
SEE_OPERATIONS = "see the instance's operations and log"
TRY_AGAIN = "try again when that is mended"
TAKE_ONE = "holdfast runbook run backup-now, then see why the nightly one failed (gcloud sql backups list)"
