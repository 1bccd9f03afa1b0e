#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deb_test.sh PROGRAM...: builds the packages, installs them over the lab's Debian 13 tree
# and looks at what a machine would have: a module for each kernel, a unit that systemd
# accepts, nothing enabled, no rest after purging. PROGRAM is one as Bazel builds it; the
# package's, which userspace/Makefile builds, must know the same options.
set -eu
PATH=$PATH:/usr/sbin:/sbin

packaging=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/deb_test.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$packaging/build-deb" --in-lab "$work"
# CLI11 formats its help differently from version to version: names only.
options() {
    "$@" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u
}
for program; do
    options "$program" >"$work/${program##*/}.options"
done

cat >"$work/inside" <<'EOF'
set -eux
dpkg -i ./tbib_*.deb ./tbib-dkms_*.deb || { cat /var/lib/dkms/tbib/*/build/make.log; exit 1; }

for modules in /usr/lib/modules/*; do
    release=${modules##*/}
    dkms status tbib -k "$release" | grep -q installed
    test "$(modinfo -k "$release" -F filename tbib | cut -d/ -f3)" != ""
    modinfo -k "$release" -F vermagic tbib | grep -q "^$release "
done
test "$(modinfo -k "$release" -F version tbib)" = "$(dpkg-query -W -f '${Version}' tbib-dkms)"
tbibctl --version | grep -F "$(dpkg-query -W -f '${Version}' tbib)"
for options in *.options; do
    "${options%.options}" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u | diff "$options" -
done

# systemd-analyze says nothing about a good unit.
test -z "$(systemd-analyze verify --man=no tbibd.service 2>&1 | grep -i tbibd)"
udevadm verify /usr/lib/udev/rules.d/*tbib*
test "$(systemctl is-enabled tbibd.service)" = disabled
test -f /etc/tbib/tbibd.conf

dpkg --purge tbib tbib-dkms
test -z "$(find /usr/lib/modules /usr/src /etc /usr/lib/udev /usr/lib/systemd -name '*tbib*' -not -path '*/systemd/system/*.wants/*')"
EOF
"$packaging/../test/lab/image/enter" "$work" -- /bin/sh inside
