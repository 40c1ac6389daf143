# A connection under TLS 1.2 with a chain of three: openssl serves, openssl asks, and both say what they agreed on.
ip -n "$console" addr add 192.168.1.40/24 dev eth0
ip -n "$console" route add default via 192.168.1.1
for key in root intermediate leaf; do openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$scratch/$key.key" 2>/dev/null; done
authority="/C=XX/O=Test Trust Services"
openssl req -x509 -new -key "$scratch/root.key" -days 7300 -subj "$authority/CN=Test Global Root" -out "$scratch/root.pem"
sign() { # name, subject, signer, extensions
    openssl req -new -key "$scratch/$1.key" -subj "$2" -out "$scratch/$1.csr"
    echo "$4" >"$scratch/$1.ext"
    openssl x509 -req -in "$scratch/$1.csr" -CA "$scratch/$3.pem" -CAkey "$scratch/$3.key" -CAcreateserial -days 7300 \
        -extfile "$scratch/$1.ext" -out "$scratch/$1.pem" 2>/dev/null
}
sign intermediate "$authority/CN=Test Secure Server CA" root "basicConstraints=CA:TRUE"
sign leaf "/C=XX/O=Test of Blizzard/CN=eu.actual.battle.net" intermediate "subjectAltName=DNS:eu.actual.battle.net,DNS:*.actual.battle.net"
for name in leaf intermediate root; do
    openssl x509 -in "$scratch/$name.pem" -outform DER | sha256sum | cut -d' ' -f1
done >"$folder/sha256.log"
openssl ciphers -stdname ECDHE-ECDSA-AES128-GCM-SHA256 | awk '$3 == "ECDHE-ECDSA-AES128-GCM-SHA256" { print $1 }' >"$folder/cipher.log"
cat "$scratch/intermediate.pem" "$scratch/root.pem" >"$scratch/rest.pem"
start "$net" "$folder/s_server.log" openssl s_server -accept 203.0.113.10:1119 -tls1_2 -key "$scratch/leaf.key" \
    -cert "$scratch/leaf.pem" -cert_chain "$scratch/rest.pem" -cipher ECDHE-ECDSA-AES128-GCM-SHA256 -rev
await "$folder/s_server.log" ACCEPT
{ sleep 0.3; for line in 1 2 3; do echo "line $line"; sleep 0.2; done; } |
    in_console openssl s_client -connect 203.0.113.10:1119 -servername eu.actual.battle.net -tls1_2 \
        -CAfile "$scratch/root.pem" >"$folder/s_client.log" 2>&1
sleep 0.3
