#!/bin/sh
# setup_old.sh VERSION: installs an older Keylime from PyPI, once, into a folder
# of its own beside that of setup.sh, which has run before, and prints that
# folder's path on the last line. It holds what setup.sh makes: venv and conf.
set -eu
version=${1:?the version of Keylime}
main=${KEYLIME_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/keylime-tenant/interop-7.14.3}
dir=$(dirname "$main")/interop-$version
python=/usr/bin/python3

# Libraries of the time: what came later no longer has all that these releases
# call.
case $version in
6.* | 7.[0-8].*) pins="SQLAlchemy<2 alembic<1.14 tornado<6.5 jsonschema<4.24" ;;
*) pins="SQLAlchemy>=2.0.39,<2.1 alembic tornado<6.6 jsonschema<4.26" ;;
esac

if [ ! -f "$dir/ready" ]; then
    echo "interop: installing Keylime $version from PyPI" >&2
    rm -rf "$dir"
    mkdir -p "$dir/sdist" "$dir/conf"
    # The system's Python and its packages: gpg is no PyPI package.
    $python -m venv --system-site-packages "$dir/venv" >&2
    # shellcheck disable=SC2086
    "$dir/venv/bin/pip" install -q --disable-pip-version-check "keylime==$version" $pins \
        "cryptography<46" jinja2 lark packaging psutil pyasn1 pyasn1-modules pyyaml pyzmq requests typing-extensions >&2
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary keylime \
        "keylime==$version" -d "$dir/sdist" >&2
    tar -xzf "$dir/sdist/keylime-$version.tar.gz" -C "$dir/sdist" --strip-components=1
    # The newest templates of the release; old ones have fewer options.
    KEYLIME_DIR="$dir" "$dir/venv/bin/keylime_upgrade_config" --defaults \
        --templates "$dir/sdist/templates" --out "$dir/conf" >"$dir/config.log" 2>&1 || { cat "$dir/config.log" >&2; exit 1; }
    touch "$dir/ready"
fi
echo "$dir"
