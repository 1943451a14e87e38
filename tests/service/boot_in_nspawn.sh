#!/bin/bash
# The real thing, by hand and as root: install this checkout as the README says into a copy-on-write image of
# this machine, boot that under systemd-nspawn, drop photos as a member of the group, hang the daemon, stop it.
#     tests/service/boot_in_nspawn.sh PHOTO.jpg...
# Needs: systemd-container, python3-venv, acl, sqlite3, a way to PyPI. Nothing outside a temporary folder is changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }

place=$(mktemp -d)
image=$place/image
leader=
outside() { systemd-nspawn --quiet --directory="$image" --register=no --keep-unit --pipe "$@"; }
inside() { nsenter --target "$leader" --all env -i PATH="$PATH" LANG=C.UTF-8 "$@"; }
as_member() { inside su member -c "umask 077; $1"; }
until_true() { for _ in $(seq 200); do "$@" && return; sleep 0.5; done; echo "FAILED: waited in vain for: $*"; exit 1; }
active() { [ "$(inside systemctl is-active birdwatchd)" = active ]; }
restarted() { [ "$(inside systemctl show --property NRestarts --value birdwatchd)" -ge 1 ] && active; }
ask() { as_member "sqlite3 -readonly /var/lib/birdwatchd/birdwatchd.db \"$1\""; }
all_done() { [ "$(ask "select count(*) from photos where camera = 'feeder' and state not in ('claimed', 'decided')")" = "$photos" ]; }
booted() { leader=$(pgrep --parent "$nspawn") && inside systemctl is-system-running 2>&1 | grep -qE 'running|degraded'; }
clean_up() {
    [ -z "$leader" ] || { inside systemctl poweroff && wait "$nspawn"; } || true
    umount "$image" "$place"
    rmdir "$place"
}
trap clean_up EXIT
# The n-th command block of the README's section on the service, which ends with the block that removes it.
step() { awk -v want="$1" '/^## /{here = /Run it as a service/} here && /```sh/{n++; on = 1; next} /```$/{on = 0} here && on && n == want' README.md; }
as_readme='sudo() { "$@"; }; apt() { DEBIAN_FRONTEND=noninteractive command apt-get --quiet=2 --yes "$@" >/dev/null; }; USER=member;'
mount -t tmpfs -o size=4g tmpfs "$place"
mkdir "$place/upper" "$place/work" "$image"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$image"
mkdir -p "$image/srv/code" "$image/srv/photos"
tar --exclude-vcs --exclude='.venv*' --exclude='.*_cache' -cf - . | tar -xf - -C "$image/srv/code"
install -m 644 "$@" "$image/srv/photos"
photos=$(find "$image/srv/photos" -type f | wc -l)

echo "installing"
outside --bind-ro=/etc/resolv.conf /bin/bash -euc "
    useradd --no-create-home member
    cd /srv/code
    $as_readme
    $(step 1)
    $(step 2)
    $(step 3)"

echo "booting"
systemd-nspawn --quiet --directory="$image" --boot --register=no --keep-unit --private-network --console=pipe >/dev/null 2>&1 &
nspawn=$!
until_true booted
inside /bin/bash -euc "$as_readme $(step 4)"
until_true active
inside systemctl status --no-pager birdwatchd
inside systemd-analyze security --no-pager birdwatchd | tail -n 1

echo "dropping photos"
as_member 'mkdir /var/lib/birdwatchd/inbox/feeder && cp /srv/photos/* /var/lib/birdwatchd/inbox/feeder/ && chmod g+r /var/lib/birdwatchd/inbox/feeder/*'
until_true all_done
ask 'select state, count(*) from photos group by state'

echo "hanging the daemon: back after WatchdogSec"
inside systemctl kill --signal=STOP birdwatchd
until_true restarted

echo "stopping"
time inside systemctl stop birdwatchd
inside journalctl --unit birdwatchd --no-pager --output cat
echo "removing it, as the README says"
inside /bin/bash -euc "$as_readme $(step 5)"
! inside systemctl cat birdwatchd >/dev/null 2>&1
[ "$(as_member 'find /var/lib/birdwatchd/empty /var/lib/birdwatchd/review /var/lib/birdwatchd/quarantine -name "*.jpg" | wc -l')" -gt 0 ]
echo "all done"
