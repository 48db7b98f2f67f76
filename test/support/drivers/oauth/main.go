// Logs in by OAUTHBEARER with the token in TOKEN, and prints as which role, or how that was refused.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	config, err := pgx.ParseConfig(os.Args[1])
	if err != nil {
		panic(err)
	}
	config.OAuthTokenProvider = func(context.Context) (string, error) { return os.Getenv("TOKEN"), nil }
	ctx := context.Background()
	connection, err := pgx.ConnectConfig(ctx, config)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Message)
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	var role string
	if err := connection.QueryRow(ctx, "select session_user").Scan(&role); err != nil {
		panic(err)
	}
	fmt.Println(role)
	connection.Close(ctx)
}
