#!/bin/bash
# Starts a server that follows the primary: as a copy of it where there is no server yet.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  PGPASSWORD=$(cat /keys/secrets/replicator) pg_basebackup \
    --dbname='host=primary user=replicator sslmode=verify-full sslrootcert=/keys/ca.crt' \
    --pgdata="$PGDATA" --wal-method=stream --checkpoint=fast --write-recovery-conf
fi
exec docker-entrypoint.sh "$@"
