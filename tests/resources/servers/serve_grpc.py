"""A gRPC server with grpcio. Arguments: PORT, `tls` or `plain`, and the service: `health`, `nothing` or `login`."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, tls, kind = sys.argv[1:]


class Login(grpc.ServerInterceptor):
    """Rejects all requests as unauthenticated."""

    def intercept_service(self, continuation, details):
        def refuse(_, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

        return grpc.unary_unary_rpc_method_handler(refuse)


server = grpc.server(ThreadPoolExecutor(2), interceptors=[Login()] if kind == "login" else [])
if kind != "nothing":
    servicer = health.HealthServicer()
    servicer.set("shop.Orders", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("shop.Billing", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
if tls == "tls":
    pair = (Path("server.key").read_bytes(), Path("server.pem").read_bytes())
    server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
else:
    server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
server.wait_for_termination()
