# What the scripts beside it share; they are called from the root of the project, with the name of the script in $0.
# PROFILE names the profile that the program is built with; each script says which one that is unless it is set.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }

fail() { # exit code, message
    say "ci/$(basename "$0"): $2"
    exit "$1"
}

# Builds the program; $rehearse is its absolute path then, $work a folder that goes away in the end.
build() { # profile, flags of cargo
    command -v cargo >/dev/null || fail 1 "cargo is not installed"
    local profile=${PROFILE:-$1} target=${CARGO_TARGET_DIR:-target}
    shift
    say "building with profile $profile"
    cargo build --quiet --locked --profile "$profile" --bin rehearse "$@"
    # The one profile whose folder is called otherwise.
    [ "$profile" = dev ] && profile=debug
    rehearse=$(realpath "$target/$profile/rehearse")
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# The planted mistakes, or those of them that MUTANTS names: name, scenario and kind, a line each.
mutants() {
    local known name
    known=$("$rehearse" mutants --format json |
        awk -F'"' '$2 == "name" { name = $4 } $2 == "scenario" { scenario = $4 } $2 == "kind" { print name, scenario, $4 }')
    if [ -z "${MUTANTS:-}" ]; then
        printf '%s\n' "$known"
        return
    fi
    for name in $MUTANTS; do
        grep "^$name " <<<"$known" || fail 2 "there is no planted mistake $name"
    done
}

# The middle one of numbers, a line each, and the greatest.
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
worst() { sort -n | tail -1; }
