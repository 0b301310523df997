// Verifies X509-SVIDs as go-spiffe does, for tests: one answer on stdout for each case read from a JSON file.
package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// One chain to judge, by the bundles of the file that it is in.
type testCase struct {
	Name  string   `json:"name"`
	Chain [][]byte `json:"chain"`
	// seconds since 1970
	At int64 `json:"at"`
}

type input struct {
	// SPIFFE bundle documents by trust domain
	Bundles map[string]json.RawMessage `json:"bundles"`
	Cases   []testCase                 `json:"cases"`
}

type answer struct {
	Name string `json:"name"`
	// the SPIFFE ID that was proved, or nothing
	ID    string `json:"id,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var asked input
	if err := json.Unmarshal(raw, &asked); err != nil {
		return err
	}
	bundles := spiffebundle.NewSet()
	for name, document := range asked.Bundles {
		domain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return err
		}
		bundle, err := spiffebundle.Parse(domain, document)
		if err != nil {
			return err
		}
		bundles.Add(bundle)
	}
	answers := make([]answer, 0, len(asked.Cases))
	for _, item := range asked.Cases {
		answers = append(answers, judge(item, bundles))
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func judge(item testCase, bundles *spiffebundle.Set) answer {
	chain := make([]*x509.Certificate, 0, len(item.Chain))
	for _, der := range item.Chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return answer{Name: item.Name, Error: err.Error()}
		}
		chain = append(chain, certificate)
	}
	id, _, err := x509svid.Verify(chain, bundles, x509svid.WithTime(time.Unix(item.At, 0)))
	if err != nil {
		return answer{Name: item.Name, Error: err.Error()}
	}
	return answer{Name: item.Name, ID: id.String()}
}
