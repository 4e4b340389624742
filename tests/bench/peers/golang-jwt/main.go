// SPDX-License-Identifier: MIT

// golang-jwt as a peer of the bench: tests/bench/peer.h says what is spoken.
package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The claims as a Go program would take them: into a struct, which is what this library is fastest at.
type claims struct {
	jwt.RegisteredClaims
	Identity struct {
		ModelFamily  string `json:"model_family"`
		ModelVersion string `json:"model_version"`
		Provider     string `json:"provider"`
		DeploymentID string `json:"deployment_id"`
	} `json:"agent_identity"`
	Integrity struct {
		ConfigHash       string `json:"config_hash"`
		SystemPromptHash string `json:"system_prompt_hash"`
	} `json:"agent_integrity"`
	Metadata struct {
		Version      string   `json:"attestation_version"`
		Type         string   `json:"attestation_type"`
		SafetyLevel  string   `json:"safety_level"`
		Capabilities []string `json:"capabilities_declared"`
	} `json:"attestation_metadata"`
}

type peer struct {
	keys   map[string]ed25519.PublicKey
	parser *jwt.Parser
	tokens []string
	warm   int
}

func (p *peer) open(rest string) (string, error) {
	var given struct {
		JWKS struct {
			Keys []struct{ Kid, X string }
		}
		Issuer, Audience string
	}
	if err := json.Unmarshal([]byte(rest), &given); err != nil {
		return "", err
	}
	p.keys = map[string]ed25519.PublicKey{}
	for _, k := range given.JWKS.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil {
			return "", err
		}
		p.keys[k.Kid] = ed25519.PublicKey(x)
	}
	p.parser = jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(given.Issuer),
		jwt.WithAudience(given.Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(30*time.Second))
	return "ready " + version(), nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasPrefix(dep.Path, "github.com/golang-jwt/") {
				return dep.Version
			}
		}
	}
	return "of unknown version"
}

func (p *peer) verify(token string) error {
	_, err := p.parser.ParseWithClaims(token, &claims{}, func(t *jwt.Token) (interface{}, error) {
		kid, _ := t.Header["kid"].(string)
		if key, ok := p.keys[kid]; ok {
			return key, nil
		}
		return nil, errors.New("unknown kid")
	})
	return err
}

func cpuNs() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

func (p *peer) lap() (string, error) {
	for _, token := range p.tokens[:p.warm] {
		if err := p.verify(token); err != nil {
			return "", err
		}
	}
	start := cpuNs()
	for _, token := range p.tokens[p.warm:] {
		if err := p.verify(token); err != nil {
			return "", err
		}
	}
	return strconv.FormatInt(cpuNs()-start, 10), nil
}

func (p *peer) answer(line string) (string, error) {
	command, rest, _ := strings.Cut(line, " ")
	switch command {
	case "open":
		return p.open(rest)
	case "check":
		return "ok", p.verify(rest)
	case "tokens":
		words := strings.Split(rest, " ")
		warm, err := strconv.Atoi(words[0])
		p.tokens, p.warm = words[1:], warm
		return "ok", err
	case "lap":
		return p.lap()
	}
	return "", errors.New("no such command")
}

func main() {
	p := &peer{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		answer, err := p.answer(lines.Text())
		if err != nil {
			answer = "no " + strings.SplitN(err.Error(), "\n", 2)[0]
		}
		fmt.Println(answer)
	}
}
