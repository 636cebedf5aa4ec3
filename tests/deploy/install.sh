# shellcheck shell=bash disable=SC2154
# The installer, in a bare Debian of its own. Sourced by run.

tests+=(the_bundle_is_the_same_when_it_is_made_again the_installer_refuses_what_cannot_work)
long_tests+=(a_bare_debian_becomes_a_node_is_upgraded_and_cleaned the_runbook_is_followed_on_a_machine_with_systemd)

bundle() {
  programs
  [[ -e $work/bundle ]] || archive=$(deploy/vm/bundle --binaries "$work/programs" --output "$work/bundle")
  archive=$(find "$work/bundle" -name '*.tar.gz')
  sum=$(sha256sum <"$archive" | cut -d ' ' -f 1)
}

the_bundle_is_the_same_when_it_is_made_again() {
  bundle
  (umask 077 && deploy/vm/bundle --binaries "$work/programs" --output "$work/bundle-again")
  cmp "$archive" "$work/bundle-again/${archive##*/}"
  (cd "$work/bundle" && sha256sum --check --quiet ./*.sha256)
}

# Runs the installer, which has to fail with this exit code and this text.
refused() { # refused STATUS TEXT ARGUMENT...
  local status=0 printed
  printed=$("$work/unpacked/install" "${@:3}" 2>&1) || status=$?
  [[ $status == "$1" && $printed == *"$2"* ]] || fail "install ${*:3}: $status: $printed"
}

the_installer_refuses_what_cannot_work() {
  bundle
  mkdir -p "$work/unpacked"
  tar -C "$work/unpacked" -xzf "$archive" --strip-components=1
  local printed plane=https://plane.example:7400 token=$work/token
  printf 'abc@%064d\n' 0 >"$token"
  refused 64 "the first argument" node
  refused 64 "unknown for agent: --listen" agent --listen 0.0.0.0:7400
  refused 64 "--control-plane https://HOST:PORT is needed" agent --join-token-file "$token"
  refused 64 "--join-token-file FILE is needed" agent --control-plane "$plane"
  refused 64 "must be https://HOST:PORT" agent --control-plane http://plane.example:7400 --join-token-file "$token"
  refused 64 "must be https://HOST:PORT" agent --control-plane "https://plane.example:7400/path" --join-token-file "$token"
  refused 64 "must be a name" agent --control-plane "$plane" --join-token-file "$token" --node-name 'Node 1'
  refused 64 "HEARTH_MAX_ATTEMPTS: must be" agent --control-plane "$plane" --join-token-file "$token" 'HEARTH_MAX_ATTEMPTS="2"'
  refused 64 "unknown argument: MAX" agent --control-plane "$plane" --join-token-file "$token" MAX=2
  refused 1 "cannot read" agent --control-plane "$plane" --join-token-file "$work/no-such-file"
  echo "abc" >"$token"
  refused 1 "has no join token" agent --control-plane "$plane" --join-token-file "$token"
  refused 64 "--sha256 HEX is needed" control-plane --from "$archive"
  refused 1 "is not what --sha256 names" control-plane --from "$archive" --sha256 "$(printf %064d 0)"
  refused 1 "is no bundle" control-plane --from "$work/programs"
  echo >>"$work/unpacked/systemd/hearth-agent.service"
  refused 1 "is damaged" control-plane
  refused 64 "--purge goes with --uninstall" agent --purge
  # A token is in no message.
  printed=$("$work/unpacked/install" agent --control-plane "$plane" --join-token-file "$token" 2>&1) || true
  [[ $printed != *abc* ]]
}

# A root file system with the release's apt sources, and a systemctl that notes what it is asked and says that services run.
bare_system() { # bare_system SUITE
  system=$work/$1
  local address
  mkdir -p "$system"
  deploy/local/tools --download "$work/sources"
  address=$(awk 'NR == 1 { sub(/\[[^]]*\] /, ""); print $2 }' "$work/sources/sources.list")
  mmdebstrap --quiet --variant=apt --include=ca-certificates,debian-archive-keyring,iproute2,kmod,sqlite3,systemd "$1" "$system" \
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $address $1 main"
  cp /etc/resolv.conf /etc/hosts "$system/etc/"
  mount -t proc proc "$system/proc"
  mount --rbind /dev "$system/dev"
  mount --make-rslave "$system/dev"
  printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d"
  cat >"$system/usr/local/sbin/systemctl" <<'FAKE'
#!/bin/bash
echo "$*" >>/systemctl.log
case $* in
  *is-failed*) [[ -e /broken ]] ;;
  restart*)
    while [[ -e /admin.pid ]] && kill "$(</admin.pid)" 2>/dev/null; do sleep 0.1; done
    [[ ! -e /broken ]] || exit 0
    setsid /usr/local/sbin/admin </dev/null >/dev/null 2>&1 &
    echo $! >/admin.pid
    ;;
esac
FAKE
  # What answers for a service that runs.
  cat >"$system/usr/local/sbin/admin" <<'ADMIN'
#!/usr/bin/perl
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7411, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
  while (<$client>) { last if /^\r?$/ }
  print $client "HTTP/1.0 200 OK\r\n\r\nready\n";
  close $client;
}
ADMIN
  chmod +x "$system"/usr/local/sbin/{systemctl,admin} "$system/usr/sbin/policy-rc.d"
}

inside() { chroot "$system" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb "$@"; }

a_bare_debian_becomes_a_node_is_upgraded_and_cleaned() {
  bundle
  local suite ID=''
  # shellcheck source=/dev/null
  . /etc/os-release
  [[ $ID == debian ]] || { echo "on Debian only"; return 0; }
  for suite in bookworm trixie; do
    bare_system "$suite"
    cp "$archive" "$system/root/hearth.tar.gz"
    tar -C "$system/root" -xzf "$archive" --strip-components=1 --wildcards '*/install'
    local secret
    secret=secret$RANDOM$RANDOM
    printf '%s@%064d\n' "$secret" 7 >"$system/root/token"
    becomes_a_node "$secret"
    if [[ $suite == trixie ]]; then
      inside apt-get -qq install -y --no-install-recommends cloud-init >"$work/apt" 2>&1 || fail "$(<"$work/apt")"
      cp deploy/vm/cloud-init.yaml "$system/root/"
      inside cloud-init schema --config-file /root/cloud-init.yaml
    fi
    [[ ! -e $system/admin.pid ]] || kill "$(<"$system/admin.pid")" 2>/dev/null || true
    umount --lazy --recursive "$system/dev" || true
    umount --lazy "$system/proc" || true
    rm -rf --one-file-system "$system"
  done
}

becomes_a_node() { # becomes_a_node SECRET
  local secret=$1 settings=$system/etc/hearth/agent.env
  local install=(inside /root/install agent --from /root/hearth.tar.gz --sha256 "$sum")
  "${install[@]}" --control-plane https://plane.example:7400 --join-token-file /root/token --node-name node-1 HEARTH_MAX_ATTEMPTS=4 | tee "$work/printed"
  # Real programs of the distribution.
  inside dockerd --version
  inside docker buildx version
  [[ $(inside devcontainer --version) == "$(sed -n 's/^devcontainer_version=//p' deploy/local/tools)" ]]
  inside bwrap --version
  [[ $(inside hearth-agent --version) == hearth-agent* ]]
  jq -e '.features["containerd-snapshotter"]' "$system/etc/docker/daemon.json"
  diff <(sort "$settings") - <<'SETTINGS'
HEARTH_CONTAINERD=unix:///run/containerd/containerd.sock
HEARTH_CONTROL_PLANE=https://plane.example:7400
HEARTH_JOIN_TOKEN_FILE=/etc/hearth/join-token
HEARTH_MAX_ATTEMPTS=4
HEARTH_NODE_NAME=node-1
SETTINGS
  [[ $(stat -c '%a %u' "$system/etc/hearth/join-token") == "600 0" ]]
  grep -q "^$secret@" "$system/etc/hearth/join-token"
  not grep -rq "$secret" "$system/etc/systemd" "$system/systemctl.log" "$settings" "$work/printed"
  grep -qx 'enable --quiet hearth-agent.service' "$system/systemctl.log"
  grep -qx 'restart hearth-agent.service' "$system/systemctl.log"
  cmp deploy/systemd/hearth-agent.service "$system/etc/systemd/system/hearth-agent.service"

  # Again: what is not named keeps its value, and nothing is installed twice.
  echo "HEARTH_LOG_FORMAT=json" >>"$settings"
  "${install[@]}" HEARTH_MAX_ATTEMPTS=8 >"$work/printed"
  grep -qx HEARTH_MAX_ATTEMPTS=8 "$settings"
  grep -qx HEARTH_LOG_FORMAT=json "$settings"
  grep -qx HEARTH_NODE_NAME=node-1 "$settings"
  [[ $(grep -c '' "$settings") == 6 ]]
  not grep 'installing' "$work/printed"

  # A service that does not get ready is a failure that says so.
  touch "$system/broken"
  not "${install[@]}" >"$work/printed" 2>&1
  grep -q 'hearth-agent is installed and does not get ready' "$work/printed" || fail "$(<"$work/printed")"
  rm "$system/broken"

  mkdir -p "$system/var/lib/hearth/identity"
  inside /root/install agent --uninstall
  [[ ! -e $system/usr/local/bin/hearth-agent && ! -e $system/etc/systemd/system/hearth-agent.service && ! -e $system/etc/hearth ]]
  [[ ! -e $system/usr/local/bin/devcontainer && -e $system/var/lib/hearth/identity ]]
  inside /root/install agent --uninstall --purge
  [[ ! -e $system/var/lib/hearth ]]
}

step() { # step NAME: the block of the runbook after this comment
  awk -v mark="<!-- step: $1 -->" '$0 == mark { found = 1 } found && /^```$/ { exit } inside; found && /^```sh$/ { inside = 1 }' docs/runbook.md
}

# In a container of its own, with systemd as its first process.
the_runbook_is_followed_on_a_machine_with_systemd() {
  bundle
  engine
  bare_system bookworm
  rm -rf "$system"/usr/local/sbin/{systemctl,admin} "$system/usr/sbin/policy-rc.d"
  umount --lazy --recursive "$system/dev"
  umount --lazy "$system/proc"
  tar -C "$system" --one-file-system -c . | docker import --change 'CMD ["/lib/systemd/systemd"]' - machine
  rm -rf --one-file-system "$system"
  docker rm --force machine 2>/dev/null || true
  mkdir -p "$work/machine"/{docker,containerd}
  docker run --detach --name machine --privileged --tmpfs /run --tmpfs /tmp \
    --volume "$work/machine/docker:/var/lib/docker" --volume "$work/machine/containerd:/var/lib/containerd" machine
  docker cp "$archive" machine:/root/
  {
    cat <<'BEGIN'
set -euxo pipefail
cd /root
export PLANE=plane.example REGISTRY=registry.example/hearth BACKUP=/root/backup
echo "127.0.0.1 $PLANE" >>/etc/hosts
mkdir -p "$BACKUP"
systemctl is-system-running --wait || true
BEGIN
    step vm-control-plane
    step vm-admin
    step join-token
    step vm-node
    cat <<'NODE'
is() { timeout 120 bash -c "until hearth nodes --output json | grep -q $1; do sleep 0.2; done"; }
is NODE_STATE_ONLINE
# No port of the node's is open but on loopback.
[[ $(ss -Hltn | awk '$4 !~ /^(127\.|\[::1\])/ { print $4 }') == 0.0.0.0:7400 ]]
systemd-analyze security --no-pager --threshold=15 hearth-control-plane.service >/dev/null
NODE
    step backup
    # shellcheck disable=SC2016 # For the machine.
    echo 'test -s "$BACKUP/hearth.db" && test -s "$BACKUP/ca-key.pem"'
    step vm-upgrade
    step restore
    cat <<'END'
is NODE_STATE_ONLINE
hearth-*/install agent
is NODE_STATE_ONLINE
hearth-*/install agent --uninstall
is NODE_STATE_LEFT
hearth-*/install control-plane --uninstall --purge
test ! -e /var/lib/hearth-control-plane
END
  } >"$work/steps"
  docker cp "$work/steps" machine:/root/
  docker exec machine bash /root/steps || { docker exec machine journalctl --no-pager --lines 25 --unit hearth-agent --unit hearth-control-plane; return 1; }
  docker rm --force machine
}
