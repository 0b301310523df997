// Makes X509-SVIDs of a trust domain of its own with the standard library, good ones and bad ones, for tests: a JSON list of
// chains on stdout, each with what is wrong with it, and the bundle that they are judged by.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const trustDomain = "go.example"

type made struct {
	Name string `json:"name"`
	// what a verifier has to say: nothing for a good one
	Bad   bool     `json:"bad"`
	Chain [][]byte `json:"chain"`
	// PEM, of the first one only: what a server needs
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
}

type output struct {
	TrustDomain string          `json:"trustDomain"`
	Bundle      json.RawMessage `json:"bundle"`
	SVIDs       []made          `json:"svids"`
}

type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func main() {
	seconds, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(makeAll(time.Unix(seconds, 0))); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail(err)
	}
	return value
}

func ecKey(curve elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }
func rsaKey() crypto.Signer                    { return must(rsa.GenerateKey(rand.Reader, 2048)) }
func uri(text string) *url.URL                 { return must(url.Parse(text)) }

func template(now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(time.Hour),
	}
}

func caTemplate(now time.Time, name string) *x509.Certificate {
	made := template(now)
	made.Subject = pkix.Name{Country: []string{"US"}, Organization: []string{"SPIFFE"}, CommonName: name}
	made.IsCA = true
	made.BasicConstraintsValid = true
	made.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	made.URIs = []*url.URL{uri("spiffe://" + trustDomain)}
	return made
}

func leafTemplate(now time.Time) *x509.Certificate {
	made := template(now)
	made.Subject = pkix.Name{Country: []string{"US"}, Organization: []string{"SPIRE"}}
	made.BasicConstraintsValid = true
	made.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement
	made.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	made.URIs = []*url.URL{uri("spiffe://" + trustDomain + "/workload")}
	return made
}

func sign(wish *x509.Certificate, key crypto.Signer, issuer *authority) *authority {
	parent := &authority{certificate: wish, key: key}
	if issuer != nil {
		parent = issuer
	}
	der := must(x509.CreateCertificate(rand.Reader, wish, parent.certificate, key.Public(), parent.key))
	return &authority{certificate: must(x509.ParseCertificate(der)), key: key}
}

func makeAll(now time.Time) output {
	root := sign(caTemplate(now, "root"), ecKey(elliptic.P384()), nil)
	old := sign(caTemplate(now, "old root"), rsaKey(), nil)
	stranger := sign(caTemplate(now, "root"), ecKey(elliptic.P384()), nil)
	middle := sign(caTemplate(now, "middle"), ecKey(elliptic.P256()), root)
	lower := sign(caTemplate(now, "lower"), rsaKey(), middle)
	domain := must(spiffeid.TrustDomainFromString(trustDomain))
	bundle := spiffebundle.FromX509Authorities(domain, []*x509.Certificate{root.certificate, old.certificate})
	bundle.SetSequenceNumber(7)
	bundle.SetRefreshHint(time.Minute)
	if err := bundle.AddJWTAuthority("k1", ecKey(elliptic.P256()).Public()); err != nil {
		fail(err)
	}
	svids := append(goodOnes(now, root, old, middle, lower), badOnes(now, root, middle, stranger)...)
	return output{TrustDomain: trustDomain, Bundle: must(bundle.Marshal()), SVIDs: svids}
}

// The name of the workload of a good one, its key and what is above it, the issuer first.
func chainOf(name string, wish *x509.Certificate, key crypto.Signer, above ...*authority) made {
	leaf := sign(wish, key, above[0])
	item := made{Name: name, Chain: [][]byte{leaf.certificate.Raw}}
	for _, one := range above {
		// A root is known: it is not sent.
		if one.certificate.CheckSignatureFrom(one.certificate) != nil {
			item.Chain = append(item.Chain, one.certificate.Raw)
		}
	}
	for _, der := range item.Chain {
		item.Cert += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(key))
	item.Key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return item
}

func goodOnes(now time.Time, root, old, middle, lower *authority) []made {
	constrained := caTemplate(now, "constrained")
	constrained.PermittedURIDomains = []string{trustDomain}
	constrained.PermittedDNSDomainsCritical = true
	within := sign(constrained, ecKey(elliptic.P256()), root)
	named := leafTemplate(now)
	named.DNSNames = []string{"workload.example"}
	return []made{
		chainOf("under the root", leafTemplate(now), ecKey(elliptic.P256()), root),
		chainOf("under an rsa root", leafTemplate(now), rsaKey(), old),
		chainOf("under an intermediate", leafTemplate(now), ecKey(elliptic.P521()), middle),
		chainOf("under two intermediates", leafTemplate(now), ecKey(elliptic.P256()), lower, middle),
		chainOf("under a constrained intermediate", leafTemplate(now), ecKey(elliptic.P256()), within),
		chainOf("with a dns name", named, ecKey(elliptic.P256()), root),
	}
}

func badOnes(now time.Time, root, middle, stranger *authority) []made {
	bend := func(name string, change func(*x509.Certificate)) made {
		wish := leafTemplate(now)
		change(wish)
		return chainOf(name, wish, ecKey(elliptic.P256()), root)
	}
	below := func(name string, change func(*x509.Certificate)) made {
		wish := caTemplate(now, name)
		change(wish)
		return chainOf(name, leafTemplate(now), ecKey(elliptic.P256()), sign(wish, ecKey(elliptic.P256()), root))
	}
	narrow := caTemplate(now, "no more intermediates")
	narrow.MaxPathLenZero = true
	last := sign(narrow, ecKey(elliptic.P256()), root)
	beyond := sign(caTemplate(now, "one too many"), ecKey(elliptic.P256()), last)
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	all := []made{
		bend("expired", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }),
		bend("not valid yet", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }),
		bend("no uri", func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"a.example"} }),
		bend("two uris", func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("spiffe://go.example/b")) }),
		bend("another scheme", func(c *x509.Certificate) { c.URIs = []*url.URL{uri("https://go.example/workload")} }),
		bend("another trust domain", func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://x.example/a")} }),
		bend("an authority", func(c *x509.Certificate) { c.IsCA = true }),
		bend("signs certificates", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }),
		bend("signs crls", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }),
		bend("unknown critical extension", func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{unknown} }),
		below("not an authority", func(c *x509.Certificate) { c.IsCA = false }),
		below("may not sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }),
		below("authority expired", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }),
		below("constrained elsewhere", func(c *x509.Certificate) {
			c.PermittedURIDomains = []string{"elsewhere.example"}
			c.PermittedDNSDomainsCritical = true
		}),
		chainOf("path too long", leafTemplate(now), ecKey(elliptic.P256()), beyond, last),
		chainOf("root of the same name", leafTemplate(now), ecKey(elliptic.P256()), stranger),
		chainOf("gap", leafTemplate(now), ecKey(elliptic.P256()), sign(caTemplate(now, "lone"), ecKey(elliptic.P256()), middle)),
	}
	for index := range all {
		all[index].Bad = true
		all[index].Cert, all[index].Key = "", ""
	}
	return all
}
