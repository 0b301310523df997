// Command go-sumdb verifies an exported log with the code of the Go checksum database, which knows nothing of ztmesh:
// golang.org/x/mod/sumdb/note opens every signed head, golang.org/x/mod/sumdb/tlog reads the tiles, recomputes every root
// and checks records and proofs. It exits 1 with one line on stderr at the first thing that does not hold.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go-sumdb DIR ORIGIN VKEY")
		os.Exit(2)
	}
	heads, err := verify(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("{\"heads\":%d}\n", heads)
}

func verify(dir, origin, vkey string) (int, error) {
	heads, err := openHeads(dir, origin, vkey)
	if err != nil {
		return 0, err
	}
	if len(heads) == 0 {
		return 0, errors.New("no signed heads")
	}
	for i, head := range heads {
		if err := verifyHead(dir, head); err != nil {
			return 0, fmt.Errorf("size %d: %w", head.N, err)
		}
		if i > 0 {
			if err := verifyPair(dir, heads[i-1], head); err != nil {
				return 0, fmt.Errorf("sizes %d and %d: %w", heads[i-1].N, head.N, err)
			}
		}
	}
	return len(heads), verifyProofs(dir, heads)
}

// openHeads opens every checkpoint file of the directory, oldest head first.
func openHeads(dir, origin, vkey string) ([]tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "checkpoint.*"))
	if err != nil {
		return nil, err
	}
	var heads []tlog.Tree
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		opened, err := note.Open(text, note.VerifierList(verifier))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		head, err := parseHead(opened.Text, origin)
		if err != nil {
			return nil, err
		}
		heads = append(heads, head)
	}
	slices.SortFunc(heads, func(a, b tlog.Tree) int { return int(a.N - b.N) })
	return heads, nil
}

func parseHead(text, origin string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func verifyHead(dir string, head tlog.Tree) error {
	hashes := tlog.TileHashReader(head, &tiles{dir})
	root, err := tlog.TreeHash(head.N, hashes)
	if err != nil {
		return err
	}
	if root != head.Hash {
		return errors.New("the tiles have another root")
	}
	if err := verifyRecords(dir, head.N, hashes); err != nil {
		return err
	}
	for _, id := range []int64{0, head.N / 2, head.N - 1} {
		proof, err := tlog.ProveRecord(head.N, id, hashes)
		if err != nil {
			return err
		}
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, id)})
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, head.N, head.Hash, id, leaf[0]); err != nil {
			return err
		}
	}
	return nil
}

// verifyRecords holds every entry against its leaf hash, and the chain inside the entries against itself:
// an entry is SHA-256 of the entry before it (32 zero bytes for the first), and a row that names its own number.
func verifyRecords(dir string, size int64, hashes tlog.HashReader) error {
	var previous [sha256.Size]byte
	for from := int64(0); from < size; from += 1 << tileHeight {
		entries, err := readEntries(dir, from>>tileHeight, min(size-from, 1<<tileHeight))
		if err != nil {
			return err
		}
		leaves, err := readLeaves(from, len(entries), hashes)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			id := from + int64(i)
			if leaves[i] != tlog.RecordHash(entry) {
				return fmt.Errorf("record %d is not the one in the tree", id)
			}
			if !bytes.HasPrefix(entry, previous[:]) {
				return fmt.Errorf("record %d does not follow the one before it", id)
			}
			var row struct{ Seq *int64 }
			if err := json.Unmarshal(entry[sha256.Size:], &row); err != nil || row.Seq == nil || *row.Seq != id {
				return fmt.Errorf("record %d is not row %d", id, id)
			}
			previous = sha256.Sum256(entry)
		}
	}
	return nil
}

func readLeaves(from int64, count int, hashes tlog.HashReader) ([]tlog.Hash, error) {
	indexes := make([]int64, count)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, from+int64(i))
	}
	return hashes.ReadHashes(indexes)
}

func readEntries(dir string, index, width int64) ([][]byte, error) {
	tile := tlog.Tile{H: tileHeight, L: -1, N: index, W: int(width)}
	bundle, err := readWidest(dir, tile)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for int64(len(entries)) < width {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("an entry bundle ends inside an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		entries = append(entries, bundle[2:end])
		bundle = bundle[end:]
	}
	return entries, nil
}

func verifyPair(dir string, old, head tlog.Tree) error {
	proof, err := tlog.ProveTree(head.N, old.N, tlog.TileHashReader(head, &tiles{dir}))
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash)
}

type exportedProof struct {
	Kind  string
	Index int64
	Old   int64
	Size  int64
	Leaf  string
	Proof []string
}

// verifyProofs checks the proofs that ztmesh made, out of proofs.json.
func verifyProofs(dir string, heads []tlog.Tree) error {
	text, err := os.ReadFile(filepath.Join(dir, "proofs.json"))
	if err != nil {
		return err
	}
	var proofs []exportedProof
	if err := json.Unmarshal(text, &proofs); err != nil {
		return err
	}
	roots := map[int64]tlog.Hash{}
	for _, head := range heads {
		roots[head.N] = head.Hash
	}
	for i, exported := range proofs {
		if err := checkProof(exported, roots); err != nil {
			return fmt.Errorf("proof %d (%s): %w", i, exported.Kind, err)
		}
	}
	return nil
}

func checkProof(exported exportedProof, roots map[int64]tlog.Hash) error {
	var hashes []tlog.Hash
	for _, text := range exported.Proof {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return err
		}
		hashes = append(hashes, hash)
	}
	switch exported.Kind {
	case "inclusion":
		leaf, err := base64.StdEncoding.DecodeString(exported.Leaf)
		if err != nil || len(leaf) != tlog.HashSize {
			return errors.New("leaf is no hash")
		}
		return tlog.CheckRecord(hashes, exported.Size, roots[exported.Size], exported.Index, tlog.Hash(leaf))
	case "consistency":
		return tlog.CheckTree(hashes, exported.Size, roots[exported.Size], exported.Old, roots[exported.Old])
	}
	return errors.New("unknown kind")
}

// tiles reads C2SP tlog-tiles from a directory for package tlog, which checks them against the head by itself.
type tiles struct{ dir string }

func (t *tiles) Height() int { return tileHeight }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		bytes, err := readWidest(t.dir, tile)
		if err != nil {
			return nil, err
		}
		if len(bytes) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is too short", tilePath(tile))
		}
		data[i] = bytes[:tile.W*tlog.HashSize]
	}
	return data, nil
}

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// readWidest reads a tile, or the full one when the partial one is not there.
func readWidest(dir string, tile tlog.Tile) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, tilePath(tile)))
	if errors.Is(err, fs.ErrNotExist) && tile.W < 1<<tileHeight {
		tile.W = 1 << tileHeight
		return os.ReadFile(filepath.Join(dir, tilePath(tile)))
	}
	return data, err
}

// tilePath is the C2SP path: that of package tlog without the height, and with "entries" for "data".
func tilePath(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}
