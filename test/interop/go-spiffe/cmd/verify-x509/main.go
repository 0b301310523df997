// Verifies certificate chains with the standard library, for tests: one answer on stdout for each case of a JSON file.
package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

type testCase struct {
	Name  string   `json:"name"`
	Chain [][]byte `json:"chain"`
	// seconds since 1970
	At int64 `json:"at"`
	// the host that is connected to, where that is a part of the question
	Host string `json:"host"`
}

type input struct {
	Roots [][]byte   `json:"roots"`
	Cases []testCase `json:"cases"`
}

type answer struct {
	Name  string `json:"name"`
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
	roots := x509.NewCertPool()
	for _, der := range asked.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		roots.AddCert(root)
	}
	answers := make([]answer, 0, len(asked.Cases))
	for _, item := range asked.Cases {
		text := ""
		if err := judge(item, roots); err != nil {
			text = err.Error()
		}
		answers = append(answers, answer{Name: item.Name, Error: text})
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func judge(item testCase, roots *x509.CertPool) error {
	intermediates := x509.NewCertPool()
	var leaf *x509.Certificate
	for index, der := range item.Chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if index == 0 {
			leaf = certificate
		} else {
			intermediates.AddCert(certificate)
		}
	}
	if leaf == nil {
		return fmt.Errorf("no leaf")
	}
	// Both purposes are asked for one after the other: the library takes any one of a list.
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := leaf.Verify(x509.VerifyOptions{
			DNSName:       item.Host,
			Roots:         roots,
			Intermediates: intermediates,
			CurrentTime:   time.Unix(item.At, 0),
			KeyUsages:     []x509.ExtKeyUsage{use},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
