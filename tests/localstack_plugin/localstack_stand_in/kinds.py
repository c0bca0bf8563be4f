"""The types that LocalStack has no provider for, and how their identifiers look."""

ARNS = {
    "AWS::MSK::Cluster": "kafka:{region}:{account}:cluster/{ClusterName}/{unique}-1",
    "AWS::MSK::Configuration": "kafka:{region}:{account}:configuration/{Name}/{unique}-1",
    "AWS::MSK::Topic": "kafka:{region}:{account}:topic/{cluster}/{TopicName}",
    "AWS::KafkaConnect::Connector": "kafkaconnect:{region}:{account}:connector/{ConnectorName}/{unique}-1",
    "AWS::KafkaConnect::CustomPlugin": "kafkaconnect:{region}:{account}:custom-plugin/{Name}/{unique}-1",
    "AWS::KafkaConnect::WorkerConfiguration": "kafkaconnect:{region}:{account}:worker-configuration/{Name}/{unique}-1",
    "AWS::MWAA::Environment": "airflow:{region}:{account}:environment/{Name}",
    "AWS::ECS::Cluster": "ecs:{region}:{account}:cluster/{ClusterName}",
    "AWS::ECS::Service": "ecs:{region}:{account}:service/{Cluster}/{ServiceName}",
    "AWS::ECS::TaskDefinition": "ecs:{region}:{account}:task-definition/{Family}:{revision}",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "{elb}:loadbalancer/app/{logical}/{short}",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "{elb}:targetgroup/{logical}/{short}",
    "AWS::ElasticLoadBalancingV2::Listener": "{elb}:listener/app/{logical}/{short}/1",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "{elb}:listener-rule/app/{logical}/{short}/1/2",
    "AWS::ApiGatewayV2::VpcLink": "",
    "AWS::EC2::SecurityGroupIngress": "",
    "AWS::EC2::EIP": "",
    "AWS::EC2::FlowLog": "",
    "AWS::EC2::LaunchTemplate": "",
    "AWS::EFS::FileSystem": "elasticfilesystem:{region}:{account}:file-system/fs-{short}",
    "AWS::EFS::MountTarget": "",
    "AWS::EFS::AccessPoint": "elasticfilesystem:{region}:{account}:access-point/fsap-{short}",
    "AWS::CloudWatch::Dashboard": "",
    "AWS::Budgets::Budget": "",
}
"""What follows ``arn:aws:``; empty for types that have no ARN."""

KINDS = tuple(ARNS)

NAMED_BY = {
    "AWS::MSK::Cluster": "ClusterName",
    "AWS::MSK::Configuration": "Name",
    "AWS::MSK::Topic": "TopicName",
    "AWS::KafkaConnect::Connector": "ConnectorName",
    "AWS::KafkaConnect::CustomPlugin": "Name",
    "AWS::KafkaConnect::WorkerConfiguration": "Name",
    "AWS::MWAA::Environment": "Name",
    "AWS::ECS::Cluster": "ClusterName",
}
"""The property whose value no two resources of a type may share."""


def attribute(kind: str) -> str:
    """The name of the plug-in class of a type, as its entry point gives it."""
    return kind.replace("::", "_")
