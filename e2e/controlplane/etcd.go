package controlplane

import (
	"context"
	"fmt"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd runs etcd inside this process and returns its address. It gives up durability for speed, because a local
// cluster does not outlive its process.
func startEtcd(ctx context.Context, dir, log string) (*embed.Etcd, string, error) {
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config := embed.NewConfig()
	config.Dir = dir
	config.UnsafeNoFsync = true
	config.ListenClientUrls, config.AdvertiseClientUrls = anyPort, anyPort
	config.ListenPeerUrls, config.AdvertisePeerUrls = anyPort, anyPort
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.EnableGRPCGateway = false
	config.LogLevel = "warn"
	config.LogOutputs = []string{log}

	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, "", fmt.Errorf("cannot start etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, "http://" + server.Clients[0].Addr().String(), nil
	case err := <-server.Err():
		return nil, "", fmt.Errorf("cannot start etcd: %w", err)
	case <-ctx.Done():
		server.Server.HardStop()
		return nil, "", context.Cause(ctx)
	}
}
