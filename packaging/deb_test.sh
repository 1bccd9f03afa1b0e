#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the packages, installs them over the lab's Debian 13 tree and looks at what a
# machine would have: a module for each kernel, a unit that systemd accepts, nothing
# enabled, and no rest after purging.
set -eu
PATH=$PATH:/usr/sbin:/sbin

packaging=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/deb_test.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$packaging/build-deb" --in-lab "$work"
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
tbibd --help >/dev/null

# systemd-analyze says nothing about a good unit.
test -z "$(systemd-analyze verify --man=no tbibd.service 2>&1 | grep -i tbibd)"
udevadm verify /usr/lib/udev/rules.d/*tbib*
test "$(systemctl is-enabled tbibd.service)" = disabled
test -f /etc/tbib/tbibd.conf

dpkg --purge tbib tbib-dkms
test -z "$(find /usr/lib/modules /usr/src /etc /usr/lib/udev /usr/lib/systemd -name '*tbib*' -not -path '*/systemd/system/*.wants/*')"
EOF
"$packaging/../test/lab/image/enter" "$work" -- /bin/sh inside
