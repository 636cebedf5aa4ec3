#!/bin/sh
set -eu

cat > /usr/local/bin/hello << SCRIPT
#!/bin/sh
echo "${GREETING:-Hello}, \$(id -un)!"
SCRIPT
chmod 755 /usr/local/bin/hello
