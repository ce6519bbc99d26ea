# shellcheck shell=bash
# Images: made when missing or stale, through the engine's REST API. Needs ui.sh, packages.sh, engine.sh.
#
# Every image of ours carries the label lbctl.input: a hash of everything it was made from. An image is made again when
# that hash differs, and otherwise never; the label lbctl.image says which ones are ours to remove.

IMAGES_DIR=$DEPLOY_DIR/images
POSTGRES_IMAGE=lbctl-postgres:latest
POSTGRES_BASE=lbctl-debian-postgres:latest
ACTS_IMAGE=acts:latest
USERS_IMAGE=users:latest

# image_inspect REFERENCE FILTER: nothing when there is no such image.
image_inspect()
{
    { engine_get "/images/$1/json" 2>/dev/null || true; } | jq -r "$2"
}

# image_input REFERENCE: the hash in its label; nothing when there is no such image or label.
image_input()
{
    image_inspect "$1" '.Config.Labels["lbctl.input"] // empty'
}

image_id()
{
    image_inspect "$1" '.Id // empty'
}

image_megabytes()
{
    image_inspect "$1" '"\((.Size / 1e5 | round) / 10) MB"'
}

# Of the contents, not of the names: a checkout at another place makes the same images.
hash_of()
{
    cat -- "$@" | sha256sum | cut -c 1-32
}

# The same files give the same bytes, whoever packs them and when.
tar_stable()
{
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$1" -cf "$2" .
}

# engine_stream FILE PATH QUERY...: POST a file; the answer is a row of JSON objects, an error may be any of them.
engine_stream()
{
    local file=$1 path=$2 rc=0 answer message
    shift 2
    answer=$(mktemp)
    curl -sS -m 900 --unix-socket "$ENGINE_SOCKET" -X POST -H 'Content-Type: application/x-tar' -T "$file" \
        "http://engine$path?$(query_string "$@")" >"$answer" || rc=$?
    jq -r '.stream // .status // .error // .message // empty' <"$answer" 2>/dev/null || cat "$answer"
    message=$(jq -r '.error // .message // empty' <"$answer" 2>/dev/null | head -n 1) || true
    rm -f -- "$answer"
    if ((rc != 0)) || [[ -n $message ]]; then
        echo "the engine said: ${message:-nothing (curl ended with code $rc)}"
        return 1
    fi
}

# query_string NAME=VALUE...
query_string()
{
    local part
    for part in "$@"; do
        printf '%s=%s&' "${part%%=*}" "$(jq -rn --arg v "${part#*=}" '$v | @uri')"
    done
}

# Without a network: all there is to fetch has been fetched.
# image_build REFERENCE INPUT NAME CONTEXT.tar DOCKERFILE [BUILDARGS-JSON]
image_build()
{
    engine_stream "$4" /build "t=$1" "dockerfile=$5" "rm=1" "forcerm=1" "networkmode=none" \
        "buildargs=${6:-{\}}" \
        "labels=$(jq -cn --arg i "$2" --arg n "$3" '{"lbctl.input": $i, "lbctl.image": $n}')"
}

# Remove what newer images have replaced, unless a container still uses it.
images_prune()
{
    local id
    for id in $(images_ours dangling); do
        engine_get "/images/$id" -X DELETE >>"$UI_LOG" 2>&1 || true
    done
}

# image_ensure_acts BUILD WORKDIR, image_ensure_users BUILD WORKDIR: set image_made to true when they made it.
image_ensure_acts()
{
    image_ensure_program acts "$ACTS_IMAGE" "$@"
}

image_ensure_users()
{
    image_ensure_program users "$USERS_IMAGE" "$@"
}

# image_ensure_program NAME REFERENCE BUILD WORKDIR: the program of that name below BUILD, alone in an image.
image_made=false
image_ensure_program()
{
    local name=$1 reference=$2 work=$4 program input
    image_made=false
    program=$(find "$3" -maxdepth 2 -name "$name" -type f -perm -u+x | head -n 1)
    [[ -n $program ]] || ui_die "the build made no program $name" "see $UI_LOG" "$UI_LOG"
    rm -rf -- "$work"
    mkdir -p "$work/context"
    ui_run "could not collect the files of the $reference image" "see below" \
        "$DEPLOY_LIB/rootfs.sh" "$program" "$work/context/rootfs"
    cp -- "$IMAGES_DIR/$name/Dockerfile.scratch" "$work/context/Dockerfile"
    tar_stable "$work/context" "$work/context.tar"
    input=$(hash_of - <"$work/context.tar")
    if [[ $(image_input "$reference") != "$input" ]]; then
        ui_run "the engine could not build $reference" "see the engine's words below; is its disk full (df -h)?" \
            image_build "$reference" "$input" "$name" "$work/context.tar" Dockerfile
        # shellcheck disable=SC2034 # for the caller
        image_made=true
    fi
    rm -rf -- "$work"
}

# image_ensure_postgres WORKDIR: sets image_made to true when it made it.
image_ensure_postgres()
{
    local work=$1 dir=$IMAGES_DIR/postgres base_input input
    image_made=false
    base_input=$(hash_of "$dir/base.sh" /etc/os-release)
    input=$(hash_of "$dir/Dockerfile" "$dir/entrypoint.sh" - <<<"$base_input")
    [[ $(image_input "$POSTGRES_IMAGE") != "$input" ]] || return 0

    rm -rf -- "$work"
    mkdir -p "$work/context"
    image_ensure_postgres_base "$base_input" "$work"
    cp -- "$dir/Dockerfile" "$dir/entrypoint.sh" "$work/context/"
    chmod 0755 "$work/context/entrypoint.sh"
    tar_stable "$work/context" "$work/context.tar"
    ui_run "the engine could not build $POSTGRES_IMAGE" "see the engine's words below; is its disk full (df -h)?" \
        image_build "$POSTGRES_IMAGE" "$input" postgres "$work/context.tar" Dockerfile \
        "$(jq -cn --arg b "$POSTGRES_BASE" '{BASE: $b}')"
    # shellcheck disable=SC2034 # for the caller
    image_made=true
    rm -rf -- "$work"
}

# Debian with PostgreSQL, from packages: half a minute, once.
image_ensure_postgres_base()
{
    local input=$1 work=$2
    [[ $(image_input "$POSTGRES_BASE") != "$input" ]] || return 0
    have mmdebstrap || packages_ensure mmdebstrap
    ui_run "mmdebstrap could not make a Debian with PostgreSQL" \
        "the Debian archives of /etc/apt/sources.list* must be reachable; see below" \
        "$IMAGES_DIR/postgres/base.sh" "$work/base.tar"
    ui_run "the engine could not import the base image" "see the engine's words below; is its disk full (df -h)?" \
        engine_stream "$work/base.tar" /images/create "fromSrc=-" "repo=${POSTGRES_BASE%:*}" "tag=${POSTGRES_BASE#*:}" \
        "changes=LABEL lbctl.input=$input lbctl.image=postgres-base"
    rm -f -- "$work/base.tar"
}

# images_ours [dangling]: ids of all images with our label, or of those that have lost their name to a newer one.
images_ours()
{
    local dangling=''
    [[ -z ${1:-} ]] || dangling=',"dangling":["true"]'
    engine_get /images/json -G --data-urlencode "filters={\"label\":[\"lbctl.image\"]$dangling}" | jq -r '.[].Id'
}
