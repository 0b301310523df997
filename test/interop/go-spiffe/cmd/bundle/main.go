// Fetches and serves SPIFFE bundles as go-spiffe does, for tests.
//
//	bundle fetch FILE   prints what the endpoint of FILE answers
//	bundle serve FILE   serves the bundle of FILE until stdin ends, and prints its port
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// What a run is told; which fields count depends on the verb and the profile.
type order struct {
	TrustDomain string `json:"trustDomain"`
	Profile     string `json:"profile"`
	URL         string `json:"url"`
	// https_spiffe: who serves, and the bundle to judge it by
	EndpointID     string          `json:"endpointId"`
	EndpointBundle json.RawMessage `json:"endpointBundle"`
	// https_web: PEM of the authorities
	Roots string `json:"roots"`
	// serve: what is served, and with which certificate (PEM)
	Document json.RawMessage `json:"document"`
	Cert     string          `json:"cert"`
	Key      string          `json:"key"`
}

type found struct {
	Sequence    uint64   `json:"sequence"`
	RefreshHint float64  `json:"refreshHint"`
	X509        [][]byte `json:"x509"`
	JWT         []string `json:"jwt"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bundle fetch|serve FILE")
	}
	raw, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var asked order
	if err := json.Unmarshal(raw, &asked); err != nil {
		return err
	}
	domain, err := spiffeid.TrustDomainFromString(asked.TrustDomain)
	if err != nil {
		return err
	}
	if args[0] == "serve" {
		return serve(domain, asked)
	}
	return fetch(domain, asked)
}

func fetch(domain spiffeid.TrustDomain, asked order) error {
	option, err := proof(asked)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	bundle, err := federation.FetchBundle(ctx, domain, asked.URL, option)
	if err != nil {
		return err
	}
	answer := found{JWT: []string{}, X509: [][]byte{}}
	answer.Sequence, _ = bundle.SequenceNumber()
	hint, _ := bundle.RefreshHint()
	answer.RefreshHint = hint.Seconds()
	for _, authority := range bundle.X509Authorities() {
		answer.X509 = append(answer.X509, authority.Raw)
	}
	for kid := range bundle.JWTAuthorities() {
		answer.JWT = append(answer.JWT, kid)
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func proof(asked order) (federation.FetchOption, error) {
	if asked.Profile == "https_web" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(asked.Roots)) {
			return nil, errors.New("no roots")
		}
		return federation.WithWebPKIRoots(pool), nil
	}
	id, err := spiffeid.FromString(asked.EndpointID)
	if err != nil {
		return nil, err
	}
	bundle, err := spiffebundle.Parse(id.TrustDomain(), asked.EndpointBundle)
	if err != nil {
		return nil, err
	}
	return federation.WithSPIFFEAuth(bundle.X509Bundle(), id), nil
}

func serve(domain spiffeid.TrustDomain, asked order) error {
	bundle, err := spiffebundle.Parse(domain, asked.Document)
	if err != nil {
		return err
	}
	handler, err := federation.NewHandler(domain, bundle)
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair([]byte(asked.Cert), []byte(asked.Key))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	// Whoever started this program holds its stdin: when that is gone, so is it.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
