package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/producer/gateway/access"
)

func newGateway() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Make the API keys of the gateway",
		Long: `Make the API keys by which services publish through the gateway (auditstream serve gateway).

A configuration needs no key, only its hash: whoever reads the configuration cannot publish
with it.`,
	}
	cmd.AddCommand(newGatewayHash(), newGatewayKeygen())
	return cmd
}

// madeKey is what keygen prints.
type madeKey struct {
	Key  string `json:"key"`
	Hash string `json:"hash"`
}

func newGatewayKeygen() *cobra.Command {
	output := outputTable
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make an API key, and its hash",
		Long: `Make an API key and print it, once, with its hash. The key is for the service that publishes,
the hash for gateway.keys in the configuration; nothing else keeps either of them.

A key is ask_ and 49 letters and digits: 256 random bits and a check sum, by which one with
a slip in it is told from one that is not valid.

Exit codes: 0 there they are; 2 wrong arguments.`,
		Example: `  auditstream gateway keygen`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			key := access.NewKey()
			made := madeKey{key, access.HashOf(key)}
			switch output {
			case outputJSON:
				return printJSON(cmd.OutOrStdout(), made)
			case outputYAML:
				return printYAML(cmd.OutOrStdout(), made)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "key:  %s\nhash: %s\n", made.Key, made.Hash)
			return err
		},
	}
	addOutput(cmd, &output)
	return cmd
}

// maxShown bounds what is read of a key, in bytes: more cannot be one.
const maxShown = 64 << 10

func newGatewayHash() *cobra.Command {
	return &cobra.Command{
		Use:   "hash",
		Short: "Print the hash of an API key from standard input",
		Long: `Read an API key from standard input and print its hash, for gateway.keys in the configuration.
It is for keys that services have already, such as those of WorkOS: they may keep them. A key
that could be guessed is refused.

Exit codes: 0 there it is; 1 it is no key that could be used; 2 wrong arguments.`,
		Example: `  auditstream gateway hash < workos-key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxShown))
			if err != nil {
				return err
			}
			key := strings.TrimRight(string(text), "\r\n")
			if strings.TrimSpace(key) == "" {
				return errors.New("standard input is empty: the key is read from there")
			}
			if err := access.Check(key); err != nil {
				return fmt.Errorf("the key cannot be used: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), access.HashOf(key))
			return err
		},
	}
}
