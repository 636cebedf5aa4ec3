# shellcheck shell=bash disable=SC2154
# The units of systemd. Sourced by run.

tests+=(units_are_what_systemd_understands the_control_plane_unit_gives_away_nothing)

# The units where programs and settings of this machine do not matter.
unit_copies() {
  mkdir -p "$work/units"
  local unit
  for unit in deploy/systemd/*.service; do
    sed 's#^ExecStart=.*#ExecStart=/bin/true#' "$unit" >"$work/units/${unit##*/}"
  done
}

units_are_what_systemd_understands() {
  unit_copies
  local printed
  printed=$(systemd-analyze verify --man=no --recursive-errors=no "$work"/units/*.service 2>&1) || fail "$printed"
  # It warns, and succeeds, of what it does not know.
  not grep -E "units/hearth[^:]*:.*(Unknown|Failed to parse|ignoring|Invalid)" <<<"$printed"
  printed=$(systemd-sysusers --dry-run "$PWD/deploy/systemd/hearth.sysusers.conf" 2>&1) || fail "$printed"
}

the_control_plane_unit_gives_away_nothing() {
  unit_copies
  # The exposure in tenths: what is left is that it has an address family and files of its own.
  systemd-analyze security --offline=true --no-pager --threshold=15 "$work/units/hearth-control-plane.service"
  # The check can fail.
  sed -i '/^ProtectSystem=/d; /^CapabilityBoundingSet=/d; /^SystemCallFilter=/d; /^RestrictNamespaces=/d' "$work/units/hearth-control-plane.service"
  not systemd-analyze security --offline=true --no-pager --threshold=15 "$work/units/hearth-control-plane.service" >/dev/null
}
