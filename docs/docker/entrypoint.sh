#!/bin/sh
# As registry:2 has it: a configuration alone is served, a command of the registry needs no name
# before it, and anything else is run as it is.
set -e

case "${1:-}" in
    *.yaml | *.yml) set -- registry serve "$@" ;;
    serve | garbage-collect | check-config | schedule | htpasswd | -*) set -- registry "$@" ;;
esac

exec "$@"
