// Asks the SPIFFE Workload API as go-spiffe does, from inside a task, and says what it got. Tokens go to files alone.
//
//	workload svids N            waits for N different X509-SVIDs and prints a line for each
//	workload jwt AUDIENCE FILE  fetches a JWT-SVID into FILE and has it validated here and by the Workload API
//	workload serve FILE         answers mTLS connections at a port that it writes to FILE, until it is killed
//	workload dial FILE ID       connects to that port, demands that the server is ID, and prints the answer
//	workload refused            succeeds when the Workload API says PermissionDenied
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const patience = 60 * time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "svids":
		count, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return svids(ctx, count)
	case len(args) == 3 && args[0] == "jwt":
		return jwt(ctx, args[1], args[2])
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 3 && args[0] == "dial":
		return dial(ctx, args[1], args[2])
	case len(args) == 1 && args[0] == "refused":
		return refused(ctx)
	}
	return errors.New("usage: workload svids N | jwt AUDIENCE FILE | serve FILE | dial FILE ID | refused")
}

func say(values map[string]any) error {
	return json.NewEncoder(os.Stdout).Encode(values)
}

func svids(ctx context.Context, count int) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	seen := ""
	for found := 0; found < count; {
		svid, err := source.GetX509SVID()
		if err != nil {
			return err
		}
		serial := svid.Certificates[0].SerialNumber.Text(16)
		if serial != seen {
			bundle, err := source.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
			if err != nil {
				return err
			}
			if err := say(map[string]any{"id": svid.ID.String(), "serial": serial, "chain": len(svid.Certificates),
				"roots": len(bundle.X509Authorities())}); err != nil {
				return err
			}
			seen = serial
			found++
		}
		if found < count {
			if err := source.WaitUntilUpdated(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func jwt(ctx context.Context, audience string, file string) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	source, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClient(client))
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return err
	}
	token := svid.Marshal()
	here, err := jwtsvid.ParseAndValidate(token, source, []string{audience})
	if err != nil {
		return err
	}
	there, err := client.ValidateJWTSVID(ctx, token, audience)
	if err != nil {
		return err
	}
	_, other := client.ValidateJWTSVID(ctx, token, audience+"-2")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return err
	}
	return say(map[string]any{"id": svid.ID.String(), "here": here.ID.String(), "there": there.ID.String(),
		"audience": svid.Audience, "life": time.Until(svid.Expiry).Seconds(), "other": status.Code(other).String()})
}

func serve(file string) error {
	ctx := context.Background()
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	authorize := tlsconfig.AuthorizeMemberOf(svid.ID.TrustDomain())
	listener, err := spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0", spiffetls.MTLSServerWithSource(authorize, source))
	if err != nil {
		return err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(port)), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	if err := say(map[string]any{"id": svid.ID.String()}); err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go greet(connection)
	}
}

// Reads a line first: before that the handshake is not over, and nobody is proved.
func greet(connection net.Conn) {
	defer connection.Close()
	if _, err := bufio.NewReader(connection).ReadString('\n'); err != nil {
		return
	}
	peer, err := spiffetls.PeerIDFromConn(connection)
	if err != nil {
		return
	}
	fmt.Fprintf(connection, "%s\n", peer)
}

func dial(ctx context.Context, file string, server string) error {
	id, err := spiffeid.FromString(server)
	if err != nil {
		return err
	}
	port, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	mode := spiffetls.MTLSClientWithSource(tlsconfig.AuthorizeID(id), source)
	connection, err := spiffetls.DialWithMode(ctx, "tcp", "127.0.0.1:"+string(port), mode)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := fmt.Fprintln(connection, "hello"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	return say(map[string]any{"greeted": answer[:len(answer)-1]})
}

func refused(ctx context.Context) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		_, err := client.FetchX509SVID(ctx)
		if status.Code(err) == codes.PermissionDenied {
			return say(map[string]any{"refused": true})
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("last answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
