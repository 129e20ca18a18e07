"""`holdfast plan`: what the Pulumi program would build, without a cloud and without the pulumi command."""
