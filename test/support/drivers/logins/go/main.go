// Logs in with pgx or lib/pq in each way that standard input names: a JSON line for each.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/jackc/pgx/v5"
	_ "github.com/lib/pq"
)

type place struct {
	Way, User, Password, Ca, Cert, Key string
	Port                               int
}

func (p place) address() string {
	address := fmt.Sprintf("host=localhost port=%d dbname=orders user=%s sslmode=verify-full sslrootcert=%s", p.Port, p.User, p.Ca)
	if p.Way == "certificate" {
		return address + fmt.Sprintf(" sslcert=%s sslkey=%s", p.Cert, p.Key)
	}
	return address
}

func byPgx(p place) (role string, err error) {
	address := p.address()
	if p.Way == "channel binding" {
		address += " channel_binding=require"
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return "", err
	}
	if p.Way == "oauthbearer" {
		config.OAuthTokenProvider = func(context.Context) (string, error) { return p.Password, nil }
	} else {
		config.Password = p.Password
	}
	ctx := context.Background()
	connection, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer connection.Close(ctx)
	err = connection.QueryRow(ctx, "select session_user").Scan(&role)
	return role, err
}

func byLibpq(p place) (role string, err error) {
	if p.Way == "channel binding" {
		return "", errors.New("it has none")
	}
	address := p.address()
	if p.Password != "" {
		address += " password=" + p.Password
	}
	db, err := sql.Open("postgres", address)
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRow("select session_user").Scan(&role)
	return role, err
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return ""
}

func main() {
	login, module := byPgx, "github.com/jackc/pgx/v5"
	if os.Args[1] == "libpq" {
		login, module = byLibpq, "github.com/lib/pq"
	}
	var places []place
	if err := json.NewDecoder(os.Stdin).Decode(&places); err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	out.Encode(map[string]string{"version": version(module)})
	for _, p := range places {
		role, err := login(p)
		if err != nil {
			out.Encode(map[string]string{"way": p.Way, "error": err.Error()})
		} else {
			out.Encode(map[string]string{"way": p.Way, "role": role})
		}
	}
}
