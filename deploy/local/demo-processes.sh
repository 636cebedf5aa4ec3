# shellcheck shell=bash disable=SC2154
# Sourced by demo: starts and ends its processes, and reports failures.

# The current activity and its log, for error messages; the process id of the CLI; whether a signal came.
doing='' log='' cli='' interrupted=''
begin() { doing=$1 log=${2:-}; }

say() { printf '%s\n' "$*"; }
die() { doing=''; printf 'demo: %s\n' "$*" >&2; exit 1; }
misused() { doing=''; printf 'demo: %s\nSee deploy/local/demo --help\n' "$*" >&2; exit 64; }

# Starts a program in a session of its own, so that Ctrl-C does not end it. The variable marks it and its
# children as the demo's: they are found even if this script was killed. Descriptor 8 is the lock, and no
# other process may keep it open.
launch() { # launch NAME COMMAND...: sets pid and log
  log=$logs/$1.log
  shift
  setsid env HEARTH_DEMO_PROCESS=1 "$@" </dev/null >"$log" 2>&1 8>&- &
  pid=$!
  disown
}

await() { # await COMMAND...: repeats it until it succeeds, for 30 seconds, while the program launched last runs
  local try
  for ((try = 0; try < 600; try++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

# Engines are ended by vm stop, not by the variable.
vm() { env -u HEARTH_DEMO_PROCESS "$here/vm" "$@" 8>&-; }

# Kills everything that a demo started, this one or an earlier one, and removes its data.
clean() {
  local data name pids
  data=$(cat "$run/data" 2>/dev/null) || return 0
  mapfile -t pids < <(grep -lzxF HEARTH_DEMO_PROCESS=1 /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
  for name in workshop node-1 node-2 node-3; do
    cp "$data/engines/$name/dockerd.log" "$logs/$name-engine.log" 2>/dev/null || true
    vm stop "$data/engines/$name"
  done
  cp "$data/registry/registry.log" "$logs/registry.log" 2>/dev/null || true
  rm -rf --one-file-system "$data"
  rm -f "$run/data" "$run/kept"
}

# Runs at every exit, also after a signal: nothing that the demo started keeps running, unless --keep.
finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP PIPE
  set +e
  [[ -z $cli ]] || { kill -KILL "$cli" && wait "$cli"; } 2>/dev/null # ends its display
  if [[ -n $interrupted ]]; then
    printf '\ndemo: interrupted, stopping everything\n' >&2
  elif ((status)) && [[ -n $doing ]]; then
    printf '\ndemo: failed: %s\n' "$doing" >&2
    [[ ! -s $log ]] || tail -n 20 "$log" | sed 's/^/  | /' >&2
    printf 'demo: all logs are in target/demo/logs\n' >&2
    status=1
  fi
  if [[ -n $keep && -n $up && -z $interrupted ]]; then
    touch "$run/kept"
    how_to_use
  else
    clean
  fi
  exit "$status"
}

finish_always() {
  local signal
  trap finish EXIT
  for signal in INT TERM HUP PIPE; do
    # shellcheck disable=SC2064
    trap "interrupted=1; exit $((128 + $(kill -l "$signal")))" "$signal"
  done
}
