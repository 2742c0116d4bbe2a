#!/bin/sh
# setup.sh: installs the real Keylime 7.14.3 and the tools that serve as oracles,
# once, into a folder of its own, and prints that folder's path on the last line.
#
# KEYLIME_INTEROP_DIR chooses the folder (default: under the user's cache).
# Debian packages come by apt (as root, or through sudo), Python packages from PyPI.
set -eu
dir=${KEYLIME_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/keylime-tenant/interop-7.14.3}
python=/usr/bin/python3

need=""
command -v tpm2_checkquote >/dev/null 2>&1 || need="$need tpm2-tools"
command -v swtpm >/dev/null 2>&1 || need="$need swtpm"
command -v tpm2-abrmd >/dev/null 2>&1 || need="$need tpm2-abrmd"
command -v dbus-daemon >/dev/null 2>&1 || need="$need dbus"
ldconfig -p 2>/dev/null | grep -q 'libefivar\.so\.1' || need="$need libefivar1"
command -v openssl >/dev/null 2>&1 || need="$need openssl"
command -v jq >/dev/null 2>&1 || need="$need jq"
[ -x $python ] || need="$need python3"
$python -c 'import ensurepip, venv' 2>/dev/null || need="$need python3-venv"
$python -c 'import gpg' 2>/dev/null || need="$need python3-gpg"
command -v redis-server >/dev/null 2>&1 || need="$need redis-server"
$python -c 'import redis' 2>/dev/null || need="$need python3-redis"
if [ -n "$need" ]; then
    echo "interop: installing$need" >&2
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq >&2
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $need >&2
fi

if [ ! -f "$dir/ready" ]; then
    echo "interop: installing Keylime 7.14.3 from PyPI" >&2
    rm -rf "$dir"
    mkdir -p "$dir/sdist"
    # The system's Python and its packages: gpg is no PyPI package.
    $python -m venv --system-site-packages "$dir/venv" >&2
    # The wheel declares no dependencies; these are the ones it imports.
    "$dir/venv/bin/pip" install -q --disable-pip-version-check keylime==7.14.3 \
        alembic cryptography==50.0.2 jinja2 jsonschema==4.26.0 lark packaging psutil pyasn1 pyasn1-modules \
        pyyaml pyzmq requests==2.34.2 urllib3==2.8.0 'SQLAlchemy==2.1.9' tornado==6.6.1 typing-extensions >&2
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary keylime \
        keylime==7.14.3 -d "$dir/sdist" >&2
    tar -xzf "$dir/sdist/keylime-7.14.3.tar.gz" -C "$dir/sdist" --strip-components=1
    mkdir -p "$dir/conf"
    KEYLIME_DIR="$dir" "$dir/venv/bin/keylime_upgrade_config" --defaults \
        --templates "$dir/sdist/templates" --out "$dir/conf" >&2
    touch "$dir/ready"
fi
echo "$dir"
