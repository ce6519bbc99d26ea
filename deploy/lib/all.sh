# shellcheck shell=bash
# Everything in deploy/lib, in the order in which the parts need each other.
DEPLOY_LIB=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
DEPLOY_DIR=$(dirname -- "$DEPLOY_LIB")
# shellcheck disable=SC2034 # for the scripts that source this file
ROOT=$(dirname -- "$DEPLOY_DIR")
# shellcheck source=ui.sh
. "$DEPLOY_LIB/ui.sh"
# shellcheck source=packages.sh
. "$DEPLOY_LIB/packages.sh"
# shellcheck source=engine.sh
. "$DEPLOY_LIB/engine.sh"
# shellcheck source=images.sh
. "$DEPLOY_LIB/images.sh"
# shellcheck source=daemons.sh
. "$DEPLOY_LIB/daemons.sh"
# shellcheck source=config.sh
. "$DEPLOY_LIB/config.sh"
# shellcheck source=process.sh
. "$DEPLOY_LIB/process.sh"
